"""The list of drills agrees with the catalogue and the policy."""

from observability.drill.registry import ALL_DRILLS, DEFAULT_DRILL, DRILLS
from observability.spec.loading import load_plan


def test_every_drill_requires_an_alert() -> None:
    """A drill that requires no alert would pass without proving anything."""
    assert all(drill.required for drill in ALL_DRILLS)
    assert DEFAULT_DRILL in DRILLS
    assert len(DRILLS) == len(ALL_DRILLS)


def test_the_catalogue_names_drills_that_exist() -> None:
    """Every symptom, and every kind of SLI that is drilled, names a drill of the list."""
    plan = load_plan()
    of_symptoms = {alert.entry.drill for alert in plan.symptoms if alert.entry.drill}
    of_slis = set(plan.policy.drill.by_sli.values())
    assert of_symptoms | of_slis <= set(DRILLS)


def test_the_drill_of_a_symptom_requires_its_alert() -> None:
    """The drill that the catalogue names for a symptom requires the alert of that symptom."""
    drilled = [alert for alert in load_plan().symptoms if alert.entry.drill]
    assert drilled
    for alert in drilled:
        assert (alert.name, "") in DRILLS[alert.entry.drill].required
