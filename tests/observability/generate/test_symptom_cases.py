"""Cases of watched symptoms share a promtool test unless one affects the other."""

from dataclasses import replace

from observability.generate.symptom_cases import shared_tests
from observability.spec.alert import Alert
from observability.spec.plan import Plan
from observability.spec.schema.catalogue import CasesEntry, WatchEntry


def test_cases_that_affect_each_other_have_separate_tests(plan: Plan) -> None:
    """A symptom may read the series that another case provides."""
    watched = plan.symptoms[0]

    def symptom(name: str, expr: str, fires: dict[str, str]) -> Alert[WatchEntry]:
        cases = CasesEntry(fires=fires, silent={})
        entry = watched.entry.model_copy(update={"expr": expr, "cases": cases})
        return replace(watched, name=name, entry=entry)

    first = symptom("First", "up == 0", {'up{job="api"}': "0x9"})
    reader = symptom("Reader", "absent(up)", {"x": "1x9"})
    apart = symptom("Apart", "y > 0", {"y": "1x9"})
    tests = shared_tests((first, reader, apart))
    together = [{symptom.name for symptom in test.cases} for test in tests]
    assert not any({"First fires", "Reader fires"} <= cases for cases in together)
    assert any({"First fires", "Apart fires"} <= cases for cases in together)
