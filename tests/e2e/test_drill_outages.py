"""Drills on real servers: every outage of a process or a store pages and resolves."""

import pytest

from observability.drill.faults import RouteFault
from observability.drill.registry import DRILLS
from tests.e2e.drilling import pages_and_resolves


@pytest.mark.parametrize(
    "name", [name for name, drill in DRILLS.items() if not isinstance(drill.fault, RouteFault)]
)
def test_a_drill_pages_and_resolves(name: str) -> None:
    """What was stopped or held is noticed, told, and over when it is back."""
    pages_and_resolves(name)
