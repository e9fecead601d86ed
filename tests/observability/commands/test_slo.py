"""`slo`: exit codes of verdicts, and errors."""

import json

import pytest

from observability.slo import verdicts
from observability.spec.plan import Plan
from tests.observability.commands.support import invoke, rows, run


@pytest.mark.parametrize(
    ("indexes", "words", "code"),
    [((1,), (), 0), ((0, 1), (), 1), ((1, 2), (), 0), ((1, 2), ("--strict",), 1)],
)
def test_verdicts_decide_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    plan: Plan,
    indexes: tuple[int, ...],
    words: tuple[str, ...],
    code: int,
) -> None:
    """Met is 0, missed is 1, idle is 1 only with --strict."""
    monkeypatch.setattr(verdicts, "measure", lambda *_: [rows(plan)[index] for index in indexes])
    assert invoke("slo", *words).exit_code == code
    assert len(json.loads(invoke("slo", "--json", *words).output)["slos"]) == len(indexes)


def test_unreachable_prometheus_exits_2() -> None:
    """Exit code 2, with the command that starts the stack."""
    result = run("slo", "--json", EVARA_PORT_OFFSET="41000")
    assert result.returncode == 2
    assert "start the stack with: make up" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("window", ["31d", "1s", "soon"])
def test_window_beyond_retention_is_refused(window: str) -> None:
    """Exit code 2, with the bounds or the notation."""
    result = run("slo", "--window", window, EVARA_PORT_OFFSET="41000")
    assert result.returncode == 2
    assert window in result.stderr
    assert "Traceback" not in result.stderr
