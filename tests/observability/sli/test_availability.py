"""Availability, where an error that never happened has no series."""

from collections.abc import Callable

import pytest

from observability.sli.sources import calls_of
from observability.spec import names
from observability.spec.plan import Plan
from tests.observability.compiler_support import slo_of


@pytest.mark.parametrize(
    "name", ["orders.list-availability", "database-availability", "gateway-availability"]
)
def test_a_missing_error_series_counts_as_zero(
    plan: Plan, check_rules: Callable[..., None], name: str
) -> None:
    """A subject that never failed is measured, and has no bad events."""
    slo = slo_of(plan, name)
    _failed, series = calls_of(slo).steady_calls(plan, slo, 0, 10)
    check_rules(
        plan,
        {series: "0+10x240"},
        (f'sum by (slo) ({names.error_ratio("5m")}{{slo="{name}"}})', [f"{name}=0"]),
        (f'sum by (slo) ({names.MEASURED}{{slo="{name}"}})', [f"{name}=1"]),
    )
