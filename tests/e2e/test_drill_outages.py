"""Drills on real servers: every outage that is drilled, of a process or of a store, pages and resolves."""

import pytest

from observability.drill import runner
from tests.e2e.drilling import pages_and_resolves


@pytest.mark.parametrize(
    "name", [name for name, drilled in runner.DRILLS.items() if not drilled.fault]
)
def test_a_drill_pages_and_resolves(name: str) -> None:
    """What was stopped or held is noticed, told, and over when it is back."""
    pages_and_resolves(name)
