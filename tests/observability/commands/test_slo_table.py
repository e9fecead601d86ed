"""The table of SLOs fits the terminal, and no text is cut."""

import pytest

from observability import terminal
from observability.commands.slo_table import draw_bar
from observability.slo import verdicts
from observability.slo.verdicts import Verdict
from observability.spec.plan import Plan
from tests.observability.commands.support import WIDTH, invoke, rows


def test_the_slo_table_fits_a_terminal(monkeypatch: pytest.MonkeyPatch, plan: Plan) -> None:
    """The longest name and the worst numbers fit into 80 columns; unmeasured exits 2."""
    monkeypatch.setattr(verdicts, "measure", lambda *_: rows(plan))
    result = invoke("slo")
    assert result.exit_code == 2
    assert max(len(line.rstrip()) for line in result.output.splitlines()) <= WIDTH
    assert "…" not in result.output
    assert all(verdict in result.output for verdict in Verdict)


@pytest.mark.parametrize(("width", "columns"), [(60, 5), (79, 5), (80, 7)])
def test_a_narrow_terminal_gets_fewer_columns(
    monkeypatch: pytest.MonkeyPatch, plan: Plan, width: int, columns: int
) -> None:
    """Below 80 columns there are no events and burn rates, and the budget is a number."""
    monkeypatch.setattr(terminal.out, "width", width)
    monkeypatch.setattr(verdicts, "measure", lambda *_: rows(plan)[:3])
    table = invoke("slo").output.splitlines()[1:5]
    assert table[0].split()[:3] == ["SLO", "objective", "measured"]
    assert len(table[0].replace("budget left", "left").split()) == columns
    assert len(table[2].replace("█ ", "█").split()) == columns
    assert max(len(line.rstrip()) for line in table) <= width
    assert "…" not in "".join(table)


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (None, "–"),
        (1.0, "█████ 100%"),
        (0.5, "██░░░ 50%"),
        (-50, "░░░░░ <-999%"),
        (-9.99, "░░░░░ -999%"),
    ],
)
def test_budget_bar_shows_blocks_and_percent(left: float | None, text: str) -> None:
    """The bar has blocks and a percentage, and does not overflow."""
    assert draw_bar(left) == text
