"""`load`: its report, its exit code, and invalid options."""

import json
from pathlib import Path

import pytest

from observability.load import report as load_report
from observability.load.run import LoadRunFailed
from tests.observability.commands.load_reports import REPORT
from tests.observability.commands.support import WIDTH, invoke


def test_load_report_names_missed_objectives_and_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides, disagreements and the verdict fit into 80 columns."""
    monkeypatch.setattr(load_report, "run_load", lambda *_: (REPORT, Path("reports/now")))
    result = invoke("load")
    assert result.exit_code == 1
    assert "Each pair is clients/server" in result.output
    for words in (
        "orders.list-availability",
        "8 of 20 too few",
        "1200/1200",
        "80/1200≠",
        "3 × orders.list: 500 [boom]",
        "≠ parcels.latest, p95: [too slow].",
    ):
        assert words in result.output
    assert "≠ Clients and server disagree on 1 number" in result.output
    assert result.output.splitlines()[-1] == "  Report: reports/now/index.html"
    assert max(len(line.rstrip()) for line in result.output.splitlines()) <= WIDTH
    assert "…" not in result.output
    assert json.loads(invoke("load", "--json").stdout) == REPORT


@pytest.mark.parametrize(
    ("verdict", "code"),
    [("met", 0), ("missed", 1), ("too few", 2), ("disagree", 1), ("unknown", 2)],
)
def test_exit_code_of_a_load_run_follows_its_verdict(
    monkeypatch: pytest.MonkeyPatch, verdict: str, code: int
) -> None:
    """0 met, 1 missed or disagreeing, 2 unknown; a missing server side is reported once."""
    changes = {
        "verdict": verdict,
        "summary": "So it is.",
        "findings": [],
        "server": {"missing": "Elsewhere."},
    }
    monkeypatch.setattr(load_report, "run_load", lambda *_: (REPORT | changes, Path("x")))
    result = invoke("load")
    assert result.exit_code == code
    assert ("Elsewhere." in result.output) == (verdict != "unknown")


def test_aborted_load_run_exits_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a verdict the exit code is 2, and Locust's last lines are shown."""

    def broken(*_: object) -> None:
        raise LoadRunFailed("locust ended without a verdict: boom")

    monkeypatch.setattr(load_report, "run_load", broken)
    result = invoke("load")
    assert result.exit_code == 2
    assert "boom" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--time", "soon"), "no duration"),
        (("--time", "0s"), "at least 1s"),
        (("--time", "900ms"), "at least 1s"),
        (("--users", "0"), "--users"),
        (("--users", "10001"), "--users"),
        (("--time", "8d"), "at most 7d"),
        (("--rate", "0"), "--rate"),
        (("--rate", "nan"), "--rate"),
        (("--rate", "inf"), "--rate"),
    ],
)
def test_invalid_load_options_are_refused(words: tuple[str, ...], message: str) -> None:
    """Each invalid option is refused with the reason."""
    result = invoke("load", *words)
    assert result.exit_code == 2
    assert message in result.stderr
