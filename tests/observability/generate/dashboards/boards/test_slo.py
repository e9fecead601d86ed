"""The SLO board: tiers and colours follow the policy."""

from observability.generate.dashboards.boards.slo import burn_rates_by_tier, burn_steps
from observability.spec.plan import Plan
from tests.observability.generate.dashboards.support import board_panel, thresholds


def test_every_tier_with_a_burn_rate_has_a_line(plan: Plan) -> None:
    """A line has the policy's burn rate, and ends at the policy's highest threshold."""
    lines = thresholds(board_panel(plan, "slo", "Burn rates and tiers"))
    tiers = burn_rates_by_tier(plan)
    assert set(lines) == {f"{tier.name} {tier.severity}s" for tier in tiers}
    assert "T0 pages" not in lines
    expr = lines["T2 pages"].expr
    assert expr.startswith("clamp_max(14.4 * (1 - service_slo:objective:ratio")
    assert ", 0.5)" in expr


def test_burn_colours_follow_the_policy(plan: Plan) -> None:
    """From the slowest burn that pages on, which is T3's, the number is shown as bad."""
    assert burn_steps(plan)[-1][0] == 6
