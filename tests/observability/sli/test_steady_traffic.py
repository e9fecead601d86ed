"""Generated traffic of promtool cases: whole events, on one side of each threshold."""

from decimal import Decimal

from observability.generate.promtool_tests import JUST_ABOVE, JUST_BELOW
from observability.sli.steady_traffic import EVENTS, SteadyTraffic
from observability.spec.plan import Plan


def test_whole_events_stay_on_their_side_of_every_threshold(plan: Plan) -> None:
    """A share just above a threshold is not rounded onto it, nor one just below."""
    for tier in plan.tiers:
        for slo in plan.slos:
            threshold = tier.threshold(slo, plan.policy.max_threshold)
            above = SteadyTraffic({slo.name: threshold * JUST_ABOVE}, step=Decimal(60))
            below = SteadyTraffic({slo.name: threshold * JUST_BELOW}, step=Decimal(60))
            limit = threshold * EVENTS
            assert below.bad_of(EVENTS, slo.name) < limit < above.bad_of(EVENTS, slo.name)


def test_an_slo_without_a_share_has_no_bad_events() -> None:
    """An SLO that a case does not mention has no bad events."""
    assert SteadyTraffic({}, step=Decimal(60)).bad_of(1000, "x") == 0
