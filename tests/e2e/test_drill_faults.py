"""Drills on real servers: every fault inside a route pages and resolves."""

import pytest

from observability.drill import runner
from observability.spec import loading
from tests.e2e.drilling import pages_and_resolves


@pytest.mark.parametrize("name", [name for name, drilled in runner.DRILLS.items() if drilled.fault])
def test_a_drill_pages_and_resolves(name: str) -> None:
    """What a route does wrong is noticed, told, and over when it is mended."""
    pages_and_resolves(name)


def test_every_watched_symptom_names_a_drill() -> None:
    """What the catalogue says drills a symptom is a drill that exists and must fire that symptom."""
    for alert in loading.load_plan().alerts:
        if alert.drill:
            assert (alert.name, "") in runner.DRILLS[alert.drill].required
