"""Check `proofs`: a drill or a test raises every alert that pages, and every alert that names one.

A test says so with the marker `raises_alert`. tests/raised_alerts.py fails a marked test unless a
server reported the alert as firing, so that the marker cannot claim more than what happened.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from observability.generate import registry
from observability.spec import names
from observability.spec.alert import Alert
from observability.spec.plan import Plan
from observability.spec.problems import Problem
from observability.spec.schema.entry import AlertEntry

MARKER = "raises_alert"
COLLECTED = re.compile(r"tests/(.+/)?test_[^/]*\.py::(Test\w*::)?test_\w+")
SKIPPING = re.compile("(?i)skip|xfail|expectedFailure|__test__")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
NAME_FIELDS: dict[type, str] = {ast.Name: "id", ast.Attribute: "attr", ast.alias: "name"}
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
Drills = Mapping[str, bool]  # by name, whether an alert follows from the drill


def check(plan: Plan, drills: Drills, folder: Path) -> list[Problem]:
    """Return alerts that nothing raises, and drills and tests that do not raise what they should.

    The tests of a service are below `folder`; those of the policy are beside this code.
    """
    problems = [
        *check_drills(plan, drills),
        *check_slis(plan, drills),
        *check_tests(plan, folder),
        *check_markers(plan, folder),
    ]
    return list(dict.fromkeys(problems))  # several alerts may name tests of one broken file


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
    """Yield kinds of SLIs that can page, although no drill raises the alert of such an SLO.

    No drill can break what a declared SLO is about; promtool's cases show that its alert fires.
    """
    if not plan.signals.of_platform:
        return  # drills run our own API alone
    paging = [tier for tier in plan.tiers if tier.severity == plan.paging_severity]
    kinds = {
        slo.sli
        for slo in plan.slos
        if not slo.is_declared and any(tier.judges(slo) for tier in paging)
    }
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
    root = folder if (folder / path).is_file() else registry.ROOT  # the policy's tests
    tree = parse_tests(root / path, path)
    if isinstance(tree, Problem):
        yield tree
        return
    functions = find_functions(tree)
    function = functions.get(name)
    if function is None:
        yield problem(where, f"there is no test {test}", "name a test function: FILE.py::test_…")
        return
    constructor = name.rpartition("::")[0] + "::__init__"
    if not COLLECTED.fullmatch(test) or constructor in functions:
        fix = "name it tests/…/test_….py::test_… or …::Test…::test_…, in a class without __init__"
        yield problem(where, f"pytest does not collect {test}", fix)
    if not any(alert in raised_alerts(mark) for mark in list_marks(function)):
        fix = f'mark the test with @pytest.mark.{MARKER}("{alert}"), and raise the alert in it'
        yield problem(where, f"{test} does not claim to raise {alert}", fix)
    skips = sorted(set(find_skips(list_parts(tree, name))))
    if skips:
        fix = "name a test that always runs, in a file whose helpers skip nothing"
        yield problem(where, f"{test} may be skipped, by {', '.join(skips)}", fix)


def check_markers(plan: Plan, folder: Path) -> Iterator[Problem]:
    """Yield markers of tests that name no declared alert."""
    known = {names.BURN_ALERT, *(alert.name for _, alert in list_alerts(plan))}
    for path in sorted((folder / "tests").rglob("test_*.py")):
        if not path.is_file() or MARKER.encode() not in path.read_bytes():
            continue
        place = str(path.relative_to(folder))
        tree = parse_tests(path, place)
        if isinstance(tree, Problem):
            yield tree
            continue
        for name, function in find_functions(tree).items():
            for mark in list_marks(function):
                for alert in raised_alerts(mark):
                    if alert not in known:
                        where = f"{place}::{name}"
                        fix = "correct the marker, or declare the alert in the catalogue"
                        yield problem(where, f"raises {alert!r}, which is no alert", fix)


def parse_tests(path: Path, place: str) -> ast.Module | Problem:
    """Return the statements of a file, none if it is missing; or why it cannot be parsed."""
    if not path.is_file():
        return ast.Module([], [])
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:  # the latter up to Python 3.11.3
        fix = f"correct the file until `python -m py_compile {place}` accepts it"
        line = getattr(error, "lineno", None) or 1
        return problem(f"{place}:{line}", f"is not valid Python: {error.args[0]}", fix)


def find_functions(tree: ast.Module) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return the functions of a file by name, those of a class as `Class::name`."""
    functions = {}
    for statement in tree.body:
        if isinstance(statement, FUNCTIONS):
            functions[statement.name] = statement
        elif isinstance(statement, ast.ClassDef):
            for member in statement.body:
                if isinstance(member, FUNCTIONS):
                    functions[f"{statement.name}::{member.name}"] = member
    return functions


def list_parts(tree: ast.Module, test: str) -> list[ast.AST]:
    """Return the parts of a file, except for those of its other tests."""
    others = {
        part
        for definition in ast.walk(tree)
        if isinstance(definition, DEFINITIONS)
        and definition.name.lower().startswith("test")
        and definition.name not in test.split("::")
        for part in ast.walk(definition)
    }
    return [part for part in ast.walk(tree) if part not in others]


def find_skips(parts: Iterable[ast.AST]) -> Iterator[str]:
    """Yield what can keep pytest from running a test, by its name in the code."""
    for part in parts:
        name = getattr(part, NAME_FIELDS.get(type(part), ""), "")
        if SKIPPING.search(name):
            yield name
        if isinstance(part, ast.Call) and ast.unparse(part.func).endswith("parametrize"):
            values = [*part.args, *(keyword.value for keyword in part.keywords)]
            if any(ast.unparse(value) in {"[]", "()"} for value in values):
                yield "parametrize without values"


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
