"""The watched symptoms' promtool cases, in few tests: each evaluates all rules."""

import re
from dataclasses import dataclass, field
from decimal import Decimal

from observability.generate.promtool_case import Case, Question, alert_question, case
from observability.spec.alert import Alert
from observability.spec.plan import Plan
from observability.spec.schema.catalogue import WatchEntry

SETTLING = Decimal(240)  # seconds after `for`
METRIC = re.compile(r"[a-zA-Z_:][\w:]*")
Symptom = Alert[WatchEntry]


@dataclass(frozen=True)
class SymptomCase:
    """The series that the catalogue gives an alert, and what the alert then does."""

    name: str
    inputs: dict[str, str]
    reads: frozenset[str]  # words of its expression, metrics among them
    question: Question

    @property
    def gives(self) -> frozenset[str]:
        """Return the metrics that its series are of."""
        return frozenset(series.partition("{")[0] for series in self.inputs)

    def affects(self, other: "SymptomCase") -> bool:
        """Return whether it gives a series of a metric that the other gives or reads."""
        return bool(self.gives & (other.gives | other.reads))


@dataclass
class SharedTest:
    """Cases that do not affect each other."""

    cases: list[SymptomCase] = field(default_factory=list)

    def has_room_for(self, new: SymptomCase) -> bool:
        """Return whether the new case and those that are here do not affect each other."""
        return not any(new.affects(other) or other.affects(new) for other in self.cases)

    def render(self, plan: Plan, step: Decimal) -> Case:
        """Return the promtool test of all its cases."""
        inputs: dict[str, str] = {}
        for symptom in self.cases:
            inputs |= symptom.inputs
        name = "; ".join(symptom.name for symptom in self.cases)
        return case(plan, name, inputs, step, [symptom.question for symptom in self.cases])


def symptom_cases(alert: Symptom) -> tuple[SymptomCase, SymptomCase]:
    """Return the case in which an alert fires, and the one in which it stays silent."""
    entry = alert.entry
    reads = frozenset(METRIC.findall(entry.expr))
    at = entry.for_.seconds + SETTLING
    fires = alert_question(alert.name, at, fires=True)
    silent = alert_question(alert.name, at, fires=False)
    return (
        SymptomCase(f"{alert.name} fires", entry.cases.fires, reads, fires),
        SymptomCase(f"{alert.name} stays silent", entry.cases.silent, reads, silent),
    )


def shared_tests(symptoms: tuple[Symptom, ...]) -> list[SharedTest]:
    """Return the cases of all symptoms, each in the first test that has room for it."""
    tests: list[SharedTest] = []
    for alert in symptoms:
        for symptom in symptom_cases(alert):
            with_room = (test for test in tests if test.has_room_for(symptom))
            test = next(with_room, None)
            if test is None:
                test = SharedTest()
                tests.append(test)
            test.cases.append(symptom)
    return tests
