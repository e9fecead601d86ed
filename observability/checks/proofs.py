"""Check `proofs`: a drill or a test raises every alert that pages, and every alert that names one.

A test says so with the marker `raises_alert`. tests/raised_alerts.py fails a marked test unless a
server reported the alert as firing, so that the marker cannot claim more than what happened.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from observability.generate import registry
from observability.spec import names
from observability.spec.plan import Alert, Plan
from observability.spec.problems import Problem
from observability.spec.schema.entry import AlertEntry

MARKER = "raises_alert"
SKIPPING = {"skip", "skipif", "xfail"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
Drills = Mapping[str, bool]  # by name, whether an alert follows from the drill


def check(plan: Plan, drills: Drills, folder: Path) -> list[Problem]:
    """Return alerts that nothing raises, and drills and tests that do not raise what they should.

    The tests of a service are below `folder`; those of the policy are beside this code.
    """
    return [
        *check_drills(plan, drills),
        *check_slis(plan, drills),
        *check_tests(plan, folder),
        *check_markers(plan, folder),
    ]


def list_alerts(plan: Plan) -> Iterator[tuple[str, Alert[AlertEntry]]]:
    """Yield every declared alert with the place of its entry."""
    sections: dict[str, Iterable[Alert[AlertEntry]]] = {
        "catalogue.yaml: watch": plan.symptoms,
        "catalogue.yaml: logs": plan.log_alerts,
        "policy.yaml: guards": plan.guards,
    }
    for place, alerts in sections.items():
        for alert in alerts:
            yield f"{place}.{alert.name}", alert


def check_drills(plan: Plan, drills: Drills) -> Iterator[Problem]:
    """Yield symptoms whose drill does not exist."""
    for symptom in plan.symptoms:
        drill = symptom.entry.drill
        if drill is not None and drill not in drills:
            where = f"catalogue.yaml: watch.{symptom.name}.drill"
            yield problem(where, f"there is no drill {drill!r}", f"use one of: {', '.join(drills)}")


def check_slis(plan: Plan, drills: Drills) -> Iterator[Problem]:
    """Yield kinds of SLIs that can page, although no drill raises the alert of such an SLO."""
    paging = [tier for tier in plan.tiers if tier.severity == plan.paging_severity]
    kinds = {sli for tier in paging for sli in tier.slis} & {slo.sli for slo in plan.slos}
    drill_by_sli = {str(sli): drill for sli, drill in plan.policy.drill.by_sli.items()}
    for kind in sorted(kinds):
        where = f"policy.yaml: drill.by_sli.{kind}"
        drill = drill_by_sli.get(kind)
        if drill is None:
            message = f"is missing, although SLOs of {kind} can page"
            yield problem(where, message, f"name a drill that breaks one: {', '.join(drills)}")
        elif not drills.get(drill):
            fix = "name a route with such an SLO under `drill:` in the catalogue, or another drill"
            yield problem(where, f"{drill} raises no alert of this catalogue", fix)


def check_tests(plan: Plan, folder: Path) -> Iterator[Problem]:
    """Yield pages that nothing raises, and tests that do not raise the alert that names them.

    The schema requires a drill or a test of every symptom.
    """
    for where, alert in list_alerts(plan):
        test = alert.entry.drilled_by
        if test is not None:
            yield from check_test(f"{where}.drilled_by", alert.name, test, folder)
        elif alert.entry.severity == plan.paging_severity and alert not in plan.symptoms:
            fix = f"write `drilled_by: tests/….py::test_…`, a test with the marker {MARKER}"
            yield problem(where, "pages, but nothing proves that it fires", fix)


def check_test(where: str, alert: str, test: str, folder: Path) -> Iterator[Problem]:
    """Yield the problem of a test that should raise an alert."""
    path, _, name = test.partition("::")
    functions = find_functions(folder / path) or find_functions(registry.ROOT / path)
    function = functions.get(name)
    if function is None:
        yield problem(where, f"there is no test {test}", "name a test function: FILE.py::test_…")
        return
    marks = list(list_marks(function))
    if alert not in [argument for mark in marks for argument in raised_alerts(mark)]:
        fix = f'mark the test with @pytest.mark.{MARKER}("{alert}"), and raise the alert in it'
        yield problem(where, f"{test} does not claim to raise {alert}", fix)
    calls_skip = any(f"pytest.{word}(" in ast.unparse(function) for word in SKIPPING)
    if calls_skip or SKIPPING.intersection(map(mark_name, marks)):
        yield problem(where, f"{test} may be skipped", "name a test that always runs")


def check_markers(plan: Plan, folder: Path) -> Iterator[Problem]:
    """Yield markers of tests that name no declared alert."""
    known = {names.BURN_ALERT, *(alert.name for _, alert in list_alerts(plan))}
    for path in sorted((folder / "tests").rglob("test_*.py")):
        if MARKER not in path.read_text(encoding="utf-8"):
            continue
        for name, function in find_functions(path).items():
            for mark in list_marks(function):
                for alert in raised_alerts(mark):
                    if alert not in known:
                        where = f"{path.relative_to(folder)}::{name}"
                        fix = "correct the marker, or declare the alert in the catalogue"
                        yield problem(where, f"raises {alert!r}, which is no alert", fix)


def find_functions(path: Path) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return the functions of a file by name, those of a class as `Class::name`; {} without it."""
    if not path.is_file():
        return {}
    functions = {}
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(statement, FUNCTIONS):
            functions[statement.name] = statement
        elif isinstance(statement, ast.ClassDef):
            for member in statement.body:
                if isinstance(member, FUNCTIONS):
                    functions[f"{statement.name}::{member.name}"] = member
    return functions


def list_marks(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.expr]:
    """Yield the decorators of a function that are `pytest.mark.…`, with or without arguments."""
    for decorator in function.decorator_list:
        if ast.unparse(decorator).startswith("pytest.mark."):
            yield decorator


def mark_name(mark: ast.expr) -> str:
    """Return the name of a marker."""
    return ast.unparse(mark).removeprefix("pytest.mark.").partition("(")[0]


def raised_alerts(mark: ast.expr) -> list[str]:
    """Return the alerts that a marker claims; of other markers, none."""
    if not isinstance(mark, ast.Call) or mark_name(mark) != MARKER:
        return []
    return [str(word.value) for word in mark.args if isinstance(word, ast.Constant)]


def problem(where: str, message: str, fix: str) -> Problem:
    """Return a problem of this check."""
    return Problem(where, message, fix, "proofs")
