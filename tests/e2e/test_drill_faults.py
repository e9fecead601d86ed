"""Drills on real servers: every fault inside a route pages and resolves, and a fault that does nothing fails the drill."""

import pytest

from observability import plan
from observability.live import drill
from tests.e2e.drilling import pages_and_resolves


@pytest.mark.parametrize("name", [name for name, drilled in drill.DRILLS.items() if drilled.fault])
def test_a_drill_pages_and_resolves(name: str) -> None:
    """What a route does wrong is noticed, told, and over when it is mended."""
    pages_and_resolves(name)


def test_a_fault_without_effect_fails_the_drill(monkeypatch: pytest.MonkeyPatch) -> None:
    """When nothing is really broken, the drill says so instead of passing."""
    monkeypatch.setattr(drill, "begin", lambda *_: None)
    result = drill.run(drill.DRILLS["route-errors"], plan.from_files(), lambda _: None)
    assert not result.passed
    assert "no effect" in result.verdict


def test_every_watched_symptom_names_a_drill() -> None:
    """What the catalogue says drills a symptom is a drill that exists and must fire that symptom."""
    for alert in plan.from_files().alerts:
        if alert.drill:
            assert (alert.name, "") in drill.DRILLS[alert.drill].must
