"""`up`, `down`, `clean`, `status`, `logs` and `doctor`: what they print, and their exit codes."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from observability.devstack import addresses, modes, native
from observability.devstack.layout import StackLayout
from observability.devstack.steps import StackError
from observability.lib.http import Unreachable
from observability.slo import verdicts
from observability.spec.loading import load_plan
from observability.spec.plan import Plan
from tests.observability.commands.support import invoke, rows


def test_up_prints_addresses_slos_and_next_steps(
    monkeypatch: pytest.MonkeyPatch, plan: Plan
) -> None:
    """After the steps come the addresses, the SLOs and what to do next."""
    monkeypatch.setattr(native, "up", lambda *_: None)
    pages = [("API", "http://localhost:8000/docs")]
    monkeypatch.setattr(addresses, "find_addresses", lambda _: pages)
    monkeypatch.setattr(verdicts, "measure", lambda *_: rows(plan))
    result = invoke("up", "--mode", "native")
    assert result.exit_code == 0, result.output
    assert "http://localhost:8000/docs" in result.output
    assert "1 missed" in result.output
    assert f"8000{load_plan().drill_route.path}\n" in result.output
    assert "make down" in result.output


def test_up_reports_unknown_slos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prometheus stopped responding; there is no traceback."""

    def refuse(*_: object) -> None:
        raise Unreachable("Prometheus does not answer")

    monkeypatch.setattr(native, "up", lambda *_: None)
    monkeypatch.setattr(addresses, "find_addresses", lambda _: [])
    monkeypatch.setattr(verdicts, "measure", refuse)
    result = invoke("up", "--mode", "native")
    assert result.exit_code == 2
    assert "Prometheus does not answer" in result.stderr


def test_up_without_a_probe_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The section is optional for other services; the stack of this API runs a prober."""
    plan = replace(load_plan(), probe_every=Decimal(0))
    monkeypatch.setattr(StackLayout, "plan", lambda *_: plan)
    result = invoke("up", "--mode", "native")
    assert result.exit_code == 1
    assert "catalogue.yaml: probe: is missing, but the prober of the stack needs it" in " ".join(
        result.stderr.split()
    )
    assert "fix: add `probe:`" in result.stderr


def test_refused_up_prints_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no traceback."""

    def refuse(*_: object) -> None:
        raise StackError("port 8000 [api] is taken")

    monkeypatch.setattr(native, "up", refuse)
    result = invoke("up", "--mode", "native")
    assert result.exit_code == 1
    assert "port 8000 [api] is taken" in result.stderr


class FakeSupervisor:
    """A supervisor that runs, with one process that does not."""

    state = "RUNNING"

    def __init__(self, _: object) -> None: ...

    def is_alive(self) -> bool:
        return self.state != "DOWN"

    def processes(self) -> list[dict[str, Any]]:
        return [{"name": "api", "statename": self.state, "pid": 1, "description": "pid 1"}]


@pytest.mark.parametrize(("state", "code"), [("RUNNING", 0), ("FATAL", 1), ("DOWN", 2)])
def test_status_exit_codes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, state: str, code: int
) -> None:
    """0 when all run, 1 when one does not, 2 when the stack is down."""
    monkeypatch.setenv(
        "EVARA_STACK_DIR", str(tmp_path)
    )  # whatever this checkout's own stack was last
    monkeypatch.setattr(FakeSupervisor, "state", state)
    monkeypatch.setattr(native, "Supervisor", FakeSupervisor)
    assert invoke("status").exit_code == code
    assert code == 2 or json.loads(invoke("status", "--json").output)[0]["statename"] == state


def test_commands_say_what_the_engine_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`status` cannot tell, `down` has failed; there is no traceback."""

    def refuse(*_: object) -> None:
        raise StackError("the containers cannot be listed")

    monkeypatch.setenv("EVARA_STACK_DIR", str(tmp_path))
    for command, code in (("processes", 2), ("down", 1), ("clean", 1)):
        monkeypatch.setattr(native, command, refuse)
        result = invoke({"processes": "status"}.get(command, command))
        assert (result.exit_code, "cannot be listed" in result.stderr) == (code, True)


def test_logs_prints_the_last_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those of one program unchanged, those of all with its name; unknown names are refused."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "api.log").write_text("one\n[two]\n")
    monkeypatch.setenv("EVARA_STACK_DIR", str(tmp_path))
    assert invoke("logs", "api", "--lines", "1").output == "[two]\n"
    assert "api: one" in invoke("logs").output
    refused = invoke("logs", "ap")
    assert refused.exit_code == 1
    assert "known: api" in refused.stderr


def test_clean_and_down_without_a_stack_succeed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They do not affect other stacks."""
    monkeypatch.setenv("EVARA_STACK_DIR", str(tmp_path / "none"))
    assert StackLayout.main().reports.is_relative_to(tmp_path)
    assert "nothing was running" in invoke("down").output
    assert "it was clean" in invoke("clean").output


def test_doctor_finds_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing tool is named with the command that installs it, and the exit code is 1."""
    monkeypatch.setattr(modes, "choose_mode", lambda *_: ("native", "no Docker engine answers"))
    monkeypatch.setattr(
        native, "doctor", lambda _: [("git on PATH", False, "install it: sudo apt install git")]
    )
    result = invoke("doctor")
    assert result.exit_code == 1
    assert "native: no Docker engine answers" in result.output
    assert "sudo apt install git" in result.output
