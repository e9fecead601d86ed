"""What people see of `slo`, `load`, `drill`, `up`, `status` and their like: text for 80 columns, and the right exit code."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from observability import __main__ as main
from observability import terminal
from observability.devstack import addresses, modes, native, readiness
from observability.devstack.layout import StackLayout
from observability.devstack.steps import StackError, Steps
from observability.drill import runner as drills
from observability.drill.registry import DRILLS
from observability.load import report as load_reports
from observability.load import run as loads
from observability.slo import verdicts as slos
from observability.slo.verdicts import Row, Verdict
from observability.spec import loading
from observability.spec.plan import Plan
from observability.spec.problems import Invalid, Problem

WIDTH = 80
SIDE = {
    "requests": 1200,
    "failed": 3,
    "rate": 19.987,
    "p50": 0.0012,
    "p90": 0.05,
    "p95": 0.08,
    "p99": 12.5,
}
REPORT: dict[str, Any] = {
    "verdict": "disagree",
    "summary": "Clients and server disagree on 1 number, so neither can be relied on. By the clients' count 1 of 1 objectives missed.",
    "run": {
        "host": "http://localhost:8000",
        "users": 20,
        "rate": 50.0,
        "time": "60s",
        "seconds": 60.0,
        "started": "2026-11-23T01:20:33+00:00",
    },
    "server": {"missing": ""},
    "findings": [
        {
            "route": "readings.latest",
            "number": "p95",
            "text": "readings.latest, p95: [too slow].",
            "meaning": "Requests wait. " * 9,
        }
    ],
    "total": {"route": "all", "clients": SIDE, "server": SIDE},
    "routes": [
        {"route": "readings.latest", "clients": SIDE, "server": SIDE | {"p95": 1.2}},
        {
            "route": "nodes.list",
            "clients": dict.fromkeys(SIDE) | {"requests": 0, "failed": 0, "rate": 0.0},
            "server": None,
        },
    ],
    "errors": [{"what": "nodes.list: 500 [boom]", "count": 3}],
    "objectives": [
        {
            "slo": "nodes.list-availability",
            "objective": 0.999,
            "measured": 0.9,
            "good": 9,
            "total": 10,
            "verdict": "missed",
        },
        {
            "slo": "nodes.get-availability",
            "objective": 0.999,
            "measured": None,
            "good": 0,
            "total": 0,
            "verdict": "idle",
        },
    ],
    "version": 1,
}


def invoke(*words: str) -> Result:
    return CliRunner(env={"NO_COLOR": "1", "COLUMNS": str(WIDTH)}).invoke(main.cli, list(words))


def rows(plan: Plan) -> list[Row]:
    """One row of each verdict, with the longest name and the worst numbers."""
    longest = max((slo.name for slo in plan.slos), key=len)
    return [
        Row(
            longest, "", "platform", 0.9995, 0.123456, 1.0, 123456.0, -999.0, 1234.5, Verdict.MISSED
        ),
        Row("met", "", "platform", 0.95, 1.0, 10.0, 10.0, 1.0, 0.0, Verdict.MET),
        Row("idle", "", "platform", 0.95, None, 0.0, 0.0, 1.0, 0.0, Verdict.IDLE),
        Row("unmeasured", "", "platform", 0.95, None, None, None, None, None, Verdict.UNMEASURED),
    ]


def test_the_slo_table_fits_a_terminal(monkeypatch: pytest.MonkeyPatch, plan: Plan) -> None:
    """Even the longest name and the worst numbers fit into 80 columns, uncut, and unmeasured exits 2."""
    monkeypatch.setattr(slos, "measure", lambda *_: rows(plan))
    result = invoke("slo")
    assert result.exit_code == 2
    assert max(len(line.rstrip()) for line in result.output.splitlines()) <= WIDTH
    assert "…" not in result.output
    assert all(verdict in result.output for verdict in Verdict)


@pytest.mark.parametrize(("width", "columns"), [(60, 5), (79, 5), (80, 7)])
def test_a_narrow_terminal_gets_fewer_columns(
    monkeypatch: pytest.MonkeyPatch, plan: Plan, width: int, columns: int
) -> None:
    """Below 80 columns events and burn rate go, and the budget is a number; what is left is not cut."""
    monkeypatch.setattr(terminal.out, "width", width)
    monkeypatch.setattr(slos, "measure", lambda *_: rows(plan)[:3])
    table = invoke("slo").output.splitlines()[1:5]
    assert len(table[0].replace("budget left", "left").split()) == columns
    assert len(table[2].replace("█ ", "█").split()) == columns
    assert max(len(line.rstrip()) for line in table) <= width
    assert "…" not in "".join(table)


@pytest.mark.parametrize(
    ("kept", "words", "code"),
    [((1,), (), 0), ((0, 1), (), 1), ((1, 2), (), 0), ((1, 2), ("--strict",), 1)],
)
def test_verdicts_decide_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    plan: Plan,
    kept: tuple[int, ...],
    words: tuple[str, ...],
    code: int,
) -> None:
    """Met is 0, missed is 1, idle is 1 only with --strict."""
    monkeypatch.setattr(slos, "measure", lambda *_: [rows(plan)[index] for index in kept])
    assert invoke("slo", *words).exit_code == code
    assert len(json.loads(invoke("slo", "--json", *words).output)["slos"]) == len(kept)


def test_a_load_report_names_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objectives, both sides, errors, disagreements, the verdict and the report's place, all within 80 columns."""
    monkeypatch.setattr(load_reports, "run_load", lambda *_: (REPORT, Path("reports/now")))
    result = invoke("load")
    assert result.exit_code == 1
    assert "Each pair is clients/server" in result.output
    for words in (
        "nodes.list-availability",
        "1200/1200",
        "80/1200≠",
        "3 × nodes.list: 500 [boom]",
        "≠ readings.latest, p95: [too slow].",
    ):
        assert words in result.output
    assert "≠ Clients and server disagree on 1 number" in result.output
    assert result.output.splitlines()[-1] == "  Report: reports/now/index.html"
    assert max(len(line.rstrip()) for line in result.output.splitlines()) <= WIDTH
    assert "…" not in result.output
    assert json.loads(invoke("load", "--json").stdout) == REPORT


@pytest.mark.parametrize(
    ("verdict", "code"), [("met", 0), ("missed", 1), ("disagree", 1), ("unknown", 2)]
)
def test_the_verdict_on_a_load_run_decides_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, verdict: str, code: int
) -> None:
    """0 met, 1 missed or disagreeing, 2 when the server's side is missing; why it is missing is said once."""
    said = {
        "verdict": verdict,
        "summary": "So it is.",
        "findings": [],
        "server": {"missing": "Elsewhere."},
    }
    monkeypatch.setattr(load_reports, "run_load", lambda *_: (REPORT | said, Path("x")))
    result = invoke("load")
    assert result.exit_code == code
    assert ("Elsewhere." in result.output) == (verdict != "unknown")


def test_two_load_reports_are_compared(tmp_path: Path) -> None:
    """A table within 80 columns and a page beside the new report; what was met and is missed now fails."""
    better = REPORT | {
        "objectives": [
            row | {"verdict": "met", "measured": 1.0} for row in REPORT["objectives"][:1]
        ]
    }
    for name, content in (
        ("old", better),
        ("new", REPORT | {"run": REPORT["run"] | {"users": 21}}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(json.dumps(content), encoding="utf-8")
    folders = str(tmp_path / "old"), str(tmp_path / "new")
    result = invoke("load", "--compare", *folders)
    assert result.exit_code == 1, result.output
    assert (
        "nodes.list-availability: was met, is missed now: 100.000 % → 90.000 %, promised 99.9 %"
        in result.output
    )
    assert "The runs are not alike: users was 20, is 21." in result.output
    table = result.output.split("!")[0]
    assert max(len(line.rstrip()) for line in table.splitlines()) <= WIDTH
    assert "1 objective no longer met" in (tmp_path / "new" / "compare.html").read_text(
        encoding="utf-8"
    )
    assert not (tmp_path / "old" / "compare.html").exists()
    assert (
        json.loads(invoke("load", "--compare", *folders, "--json").stdout)["broken"][0]["new"]
        == 0.9
    )
    assert invoke("load", "--compare", folders[1], folders[0]).exit_code == 0
    refused = invoke("load", "--compare", folders[0], str(tmp_path))
    assert refused.exit_code == 2
    assert "has no report.json" in refused.stderr


@pytest.mark.parametrize(
    ("verdicts", "sign"),
    [(("met", "missed"), "✓"), (("met", "disagree"), "?"), (("unknown", "met"), "?")],
)
def test_a_comparison_says_what_it_is_worth(
    tmp_path: Path, verdicts: tuple[str, str], sign: str
) -> None:
    """Counts of both runs, changes of few requests in brackets, and no green where a run cannot be relied on; it still exits 0."""
    few = {
        "route": "readings.latest",
        "clients": SIDE | {"requests": 20, "p95": 0.16},
        "server": None,
    }
    for name, verdict in zip(("old", "new"), verdicts, strict=True):
        (tmp_path / name).mkdir()
        content = REPORT | {
            "verdict": verdict,
            "routes": [few if name == "new" else REPORT["routes"][0]],
        }
        (tmp_path / name / "report.json").write_text(json.dumps(content), encoding="utf-8")
    result = invoke("load", "--compare", str(tmp_path / "old"), str(tmp_path / "new"))
    assert result.exit_code == 0, result.output
    assert "1200 → 20" in result.output
    assert "(+100 %)" in result.output
    assert result.output.count("fewer than 100 requests") == 1
    assert f"{sign} Nothing that was met is missed now." in result.output
    assert ("proves little" in result.output) == (sign == "?")
    assert max(len(line.rstrip()) for line in result.output.splitlines()[:-1]) <= WIDTH


def test_a_load_run_that_breaks_off_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a verdict the exit code is 2, and Locust's last words are shown."""

    def broken(*_: object) -> None:
        raise loads.LoadRunFailed("locust ended without a verdict: boom")

    monkeypatch.setattr(load_reports, "run_load", broken)
    result = invoke("load")
    assert result.exit_code == 2
    assert "boom" in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--time", "soon"), "no duration"),
        (("--time", "0s"), "at least 1s"),
        (("--time", "900ms"), "at least 1s"),
        (("--users", "0"), "--users"),
        (("--rate", "0"), "--rate"),
    ],
)
def test_load_that_makes_no_sense_is_refused(words: tuple[str, ...], said: str) -> None:
    """Each with what is wrong; a run without end would be the worst of answers."""
    result = invoke("load", *words)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize(
    ("words", "count"), [((), 1), (("stop-api",), 1), (("--all",), len(DRILLS))]
)
@pytest.mark.parametrize("passed", [True, False])
def test_drills_report_and_fail(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], count: int, passed: bool
) -> None:
    """One drill by default, one by name or all of them; a failed one makes the exit code 1."""
    monkeypatch.setattr(
        drills, "run", lambda drill, *_: drills.Result(drill.name, passed, "because [so]")
    )
    result = invoke("drill", *words)
    assert result.exit_code == (0 if passed else 1)
    assert result.output.count("because [so]") == count
    assert len(json.loads(invoke("drill", "--json", *words).output)["drills"]) == count


def test_up_says_where_everything_is(monkeypatch: pytest.MonkeyPatch, plan: Plan) -> None:
    """After the steps come the addresses, the SLOs and what to do next."""
    monkeypatch.setattr(native, "up", lambda *_: None)
    pages = [("API", "http://localhost:8000/docs")]
    monkeypatch.setattr(addresses, "find_addresses", lambda _: pages)
    monkeypatch.setattr(slos, "measure", lambda *_: rows(plan))
    result = invoke("up", "--mode", "native")
    assert result.exit_code == 0, result.output
    assert "http://localhost:8000/docs" in result.output
    assert "1 missed" in result.output
    assert "/api/v1/nodes\n" in result.output  # the URL as the contract has it
    assert "make down" in result.output


def test_up_that_is_refused_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is the message, not a traceback."""

    def refuse(*_: object) -> None:
        raise StackError("port 8000 [api] is taken")

    monkeypatch.setattr(native, "up", refuse)
    result = invoke("up", "--mode", "native")
    assert result.exit_code == 1
    assert "port 8000 [api] is taken" in result.stderr


@pytest.mark.parametrize("command", ["slo", "up", "drill"])
def test_a_wrong_catalogue_is_no_traceback(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """Whatever reads the catalogue shows its problems and exits 1."""

    def invalid() -> Plan:
        raise Invalid([Problem("catalogue.yaml: owner", "is missing", "add it")])

    monkeypatch.setattr(loading, "load_plan", invalid)
    result = invoke(command)
    assert result.exit_code == 1
    assert "catalogue.yaml: owner: is missing" in result.stderr


class FakeSupervisor:
    """A supervisor that is there, with one process that is not."""

    state = "RUNNING"

    def __init__(self, _: object) -> None: ...

    def alive(self) -> bool:
        return self.state != "DOWN"

    def processes(self) -> list[dict[str, Any]]:
        return [{"name": "api", "statename": self.state, "pid": 1, "description": "pid 1"}]


@pytest.mark.parametrize(("state", "code"), [("RUNNING", 0), ("FATAL", 1), ("DOWN", 2)])
def test_status_tells_by_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, state: str, code: int
) -> None:
    """0 all run, 1 one does not, 2 the stack is down."""
    monkeypatch.setenv(
        "EVARA_STACK_DIR", str(tmp_path)
    )  # whatever this checkout's own stack was last
    monkeypatch.setattr(FakeSupervisor, "state", state)
    monkeypatch.setattr(native, "Supervisor", FakeSupervisor)
    assert invoke("status").exit_code == code
    assert code == 2 or json.loads(invoke("status", "--json").output)[0]["statename"] == state


def test_logs_are_the_last_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One program's lines as they are, all programs' lines with their name, an unknown name with the known ones."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "api.log").write_text("one\n[two]\n")
    monkeypatch.setenv("EVARA_STACK_DIR", str(tmp_path))
    assert invoke("logs", "api", "--lines", "1").output == "[two]\n"
    assert "api: one" in invoke("logs").output
    refused = invoke("logs", "ap")
    assert refused.exit_code == 1
    assert "known: api" in refused.stderr


def test_clean_and_down_on_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both are harmless when there is nothing, and touch no other stack."""
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


def test_steps_say_how_long_they_took() -> None:
    """A step is printed when it is done; what it tells comes before."""
    said: list[str] = []
    with Steps(said.append)("unpacking") as tell:
        tell("downloading")
    assert said[0].strip() == "downloading"
    assert "unpacking" in said[1]


@contextmanager
def failing() -> Iterator[None]:
    with pytest.raises(StackError) as caught:
        yield
    assert "make logs P=api" in str(caught.value)


def test_waiting_in_vain_names_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that gives up, and a wait that lasts too long, both name what to read."""
    wait = readiness.Wait("the API answers", lambda: False, "make logs P=api")
    with failing():
        readiness.wait_until(wait, lambda: ["api"])
    monkeypatch.setattr(readiness, "READY_SECONDS", 0.3)
    with failing():
        readiness.wait_until(wait, list)
