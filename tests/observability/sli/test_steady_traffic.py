"""promtool's traffic has whole events, and shares that stay on their side of a threshold."""

from decimal import Decimal

import pytest

from observability.sli.steady_traffic import SteadyTraffic


@pytest.mark.parametrize(
    ("share", "bad_events"), [("0", 0), ("0.0019", 1), ("0.5501", 551), ("1", 1000)]
)
def test_shares_are_whole_numbers_on_the_right_side(share: str, bad_events: int) -> None:
    """A share just above a threshold must not be rounded onto it, nor one just below."""
    traffic = SteadyTraffic({"x": Decimal(share)}, step=Decimal(60))
    assert traffic.bad_of(1000, "x") == bad_events


def test_an_slo_without_a_share_has_no_bad_events() -> None:
    """What a case does not mention is healthy."""
    assert SteadyTraffic({}, step=Decimal(60)).bad_of(1000, "x") == 0
