"""The routes board: durations with the objectives' thresholds."""

from collections.abc import Callable

from observability.spec.plan import Plan
from tests.observability.generate.dashboards.support import board_panel, thresholds


def test_threshold_line_follows_the_catalogue(plan: Plan, plan_of: Callable[..., Plan]) -> None:
    """It has the value, and appears only for routes with that threshold."""
    lines = thresholds(board_panel(plan, "routes", "Duration"))
    expr = lines["objective: 200ms"].expr
    assert expr == '0.2 + 0 * max(service_slo:objective:ratio{slo=~"$route-latency-200ms"})'
    edit = ("{threshold: 200ms, objective: 95}", "{threshold: 150ms, objective: 95}")
    changed_lines = thresholds(board_panel(plan_of((edit,)), "routes", "Duration"))
    assert changed_lines.keys() - lines.keys() == {"objective: 150ms"}
    assert changed_lines["objective: 150ms"].expr.startswith("0.15 + ")
