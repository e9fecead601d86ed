"""Drills on real servers: every fault inside a route pages and resolves."""

import pytest

from observability.drill.faults import RouteFault
from observability.drill.registry import DRILLS
from observability.spec import loading
from tests.e2e.drilling import pages_and_resolves


@pytest.mark.parametrize(
    "name", [name for name, drill in DRILLS.items() if isinstance(drill.fault, RouteFault)]
)
def test_a_drill_pages_and_resolves(name: str) -> None:
    """What a route does wrong is noticed, told, and over when it is mended."""
    pages_and_resolves(name)


def test_every_watched_symptom_names_a_drill() -> None:
    """The drill that the catalogue names for a symptom requires the alert of that symptom."""
    for alert in loading.load_plan().alerts:
        if alert.drill:
            assert (alert.name, "") in DRILLS[alert.drill].required
