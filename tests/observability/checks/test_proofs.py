"""The check `proofs`: what raises an alert exists, and claims to."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from observability.checks import proofs
from observability.devstack.layout import ROOT
from observability.drill.registry import drills
from observability.spec.alert import Alert
from observability.spec.loading import load_plan
from observability.spec.plan import Plan
from observability.spec.problems import Problem
from observability.spec.schema.catalogue import WatchEntry
from tests.observability.compiler_support import SMALL

TEST = "tests/test_servers.py::test_outage"
MARK = '@pytest.mark.raises_alert("DatabaseDown")\n'
GUARD = "policy.yaml: guards.RuleEvaluationFailing"


def problems_of(plan: Plan, root: Path = ROOT) -> list[Problem]:
    """Return the problems of a plan, with the drills that it has."""
    drills_with_alerts = {name: bool(drill.required) for name, drill in drills(plan).items()}
    found = proofs.check(plan, drills_with_alerts, root)
    assert {problem.check for problem in found} <= {"proofs"}
    return found


def with_alert(plan: Plan, name: str, **changes: object) -> Plan:
    """Return the plan with a changed entry of one symptom."""

    def change(alert: Alert[WatchEntry]) -> Alert[WatchEntry]:
        if alert.name != name:
            return alert
        return replace(alert, entry=alert.entry.model_copy(update=changes))

    symptoms = tuple(map(change, plan.symptoms))
    assert symptoms != plan.symptoms
    return replace(plan, symptoms=symptoms)


def test_shipped_alerts_are_proven() -> None:
    """Every alert of the shipped catalogue names a drill, or a test that raises it."""
    assert problems_of(load_plan()) == []


@pytest.fixture
def proven(tmp_path: Path) -> Callable[[str], list[Problem]]:
    """Return the function that checks an alert whose test is this text."""
    plan = with_alert(load_plan(), "DatabaseDown", drilled_by=TEST)
    symptoms = tuple(alert for alert in plan.symptoms if alert.name == "DatabaseDown")

    def check(text: str) -> list[Problem]:
        path = tmp_path / "tests" / "test_servers.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        found = problems_of(replace(plan, symptoms=symptoms), tmp_path)
        return [problem for problem in found if not problem.where.startswith("policy.yaml")]

    return check


def test_marked_test_is_a_proof(proven: Callable[[str], list[Problem]]) -> None:
    """The marker may name several alerts, and the test may have other markers."""
    assert proven(f"{MARK}def test_outage(): pass") == []
    marks = '@pytest.mark.raises_alert("TargetDown")\n@pytest.mark.parametrize("n", [1])\n'
    [unknown] = proven(f"{MARK}{marks}def test_outage(): pass")
    assert unknown.where == TEST
    assert "'TargetDown', which is no alert" in unknown.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{MARK}def test_other(): pass", f"there is no test {TEST}"),
        (f"def test_outage():\n    {MARK}    def inner(): pass", "does not claim to raise"),
        ("def test_outage(): pass", "does not claim to raise DatabaseDown"),
        (f"# {MARK}def test_outage(): pass", "does not claim to raise DatabaseDown"),
        (
            '@pytest.mark.raises_alert("RuleEvaluationFailing")\ndef test_outage(): pass',
            "does not claim to raise DatabaseDown",
        ),
        (
            "ALERT = 'DatabaseDown'\n@pytest.mark.raises_alert(ALERT)\ndef test_outage(): pass",
            "does not claim to raise DatabaseDown",
        ),
        (f"{MARK}@pytest.mark.skip\ndef test_outage(): pass", "may be skipped"),
        (f"{MARK}@pytest.mark.skipif(True, reason='')\ndef test_outage(): pass", "may be skipped"),
        (f"{MARK}def test_outage(): pytest.skip('later')", "may be skipped"),
        (f"from pytest import skip as leave\n{MARK}def test_outage(): leave()", "by skip"),
        (f"{MARK}@unittest.skip('later')\ndef test_outage(): pass", "by skip"),
        (f"{MARK}@unittest.expectedFailure\ndef test_outage(): pass", "by expectedFailure"),
        (f"{MARK}def test_outage(): raise SkipTest", "by SkipTest"),
        (f"pytestmark = pytest.mark.skipif(True)\n{MARK}def test_outage(): pass", "by skipif"),
        (f"pytestmark = [pytest.mark.xfail]\n{MARK}def test_outage(): pass", "by xfail"),
        (f"pytest.importorskip('x')\n{MARK}def test_outage(): pass", "by importorskip"),
        (f"__test__ = False\n{MARK}def test_outage(): pass", "by __test__"),
        (f"def server(): pytest.skip('gone')\n{MARK}def test_outage(): pass", "by skip"),
        (
            "@pytest.mark.parametrize('a', [pytest.param(1, marks=pytest.mark.skip)])\n"
            f"{MARK}def test_outage(a): pass",
            "by skip",
        ),
        (
            f"@pytest.mark.parametrize('a', [])\n{MARK}def test_outage(a): pass",
            "by parametrize without values",
        ),
        (
            f"@parametrize('a', argvalues=())\n{MARK}def test_outage(a): pass",
            "by parametrize without values",
        ),
    ],
)
def test_test_that_does_not_raise_the_alert_is_a_problem(
    proven: Callable[[str], list[Problem]], text: str, message: str
) -> None:
    """It is missing, raises another alert, or does not always run."""
    problems = [problem for problem in proven(text) if "which is no alert" not in problem.message]
    assert [problem.where for problem in problems] == [
        "catalogue.yaml: watch.DatabaseDown.drilled_by"
    ]
    assert message in problems[0].message


IN_CLASS = '    @pytest.mark.raises_alert("DatabaseDown")\n    def test_outage(self): pass\n'


@pytest.mark.parametrize(
    ("test", "text", "message"),
    [
        ("tests/test_servers.py::outage", f"{MARK}def outage(): pass", "pytest does not collect"),
        ("tests/servers.py::test_outage", f"{MARK}def test_outage(): pass", "does not collect"),
        ("test_servers.py::test_outage", f"{MARK}def test_outage(): pass", "does not collect"),
        (
            "tests/test_servers.py::Outage::test_outage",
            f"class Outage:\n{IN_CLASS}",
            "does not collect",
        ),
        (
            "tests/test_servers.py::TestOutage::test_outage",
            f"class TestOutage:\n    def __init__(self): pass\n{IN_CLASS}",
            "does not collect",
        ),
        (
            "tests/test_servers.py::TestOutage::test_outage",
            f"@pytest.mark.skip\nclass TestOutage:\n{IN_CLASS}",
            "may be skipped, by skip",
        ),
        (
            "tests/test_servers.py::TestOutage::test_outage",
            f"class TestOutage:\n    pytestmark = pytest.mark.skip\n{IN_CLASS}",
            "may be skipped, by skip",
        ),
    ],
)
def test_test_that_pytest_does_not_run_is_a_problem(
    tmp_path: Path, test: str, text: str, message: str
) -> None:
    """Its path or a name differs from what pytest collects, or its class is skipped."""
    path = tmp_path / test.partition("::")[0]
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    plan = with_alert(load_plan(), "DatabaseDown", drilled_by=test)
    [problem] = problems_of(plan, tmp_path)
    assert message in problem.message


def test_other_tests_of_the_file_may_be_skipped(
    proven: Callable[[str], list[Problem]],
) -> None:
    """They prove nothing, so only what belongs to the test itself and to its helpers counts."""
    others = (
        "@pytest.mark.skip\ndef test_other(): pytest.skip('later')\n"
        f"@pytest.mark.skip\nclass TestOther:\n{IN_CLASS}"
    )
    assert proven(f"{others}{MARK}def test_outage(): pass") == []


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (f"\n{MARK}def test_outage(:".encode(), "tests/test_servers.py:3"),
        (f"\n{MARK}def test_outage(): '\xe9'".encode("latin-1"), "tests/test_servers.py:3"),
        (f"{MARK}\0".encode(), "tests/test_servers.py:1"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_file_that_is_not_python_is_a_problem(
    tmp_path: Path, content: bytes, place: str, *, named: bool
) -> None:
    """It is reported once, whether or not the catalogue names a test in it."""
    path = tmp_path / "tests" / "test_servers.py"
    path.parent.mkdir()
    path.write_bytes(content)
    plan = load_plan()
    if named:
        plan = with_alert(plan, "DatabaseDown", drilled_by=TEST)
    [problem] = problems_of(plan, tmp_path)
    assert problem.where == place
    assert "is not valid Python" in problem.message


def test_missing_file_of_a_test_is_a_problem() -> None:
    """The file was moved or deleted."""
    plan = with_alert(load_plan(), "DatabaseDown", drilled_by="tests/e2e/test_gone.py::test_it")
    [problem] = problems_of(plan)
    assert "there is no test tests/e2e/test_gone.py::test_it" in problem.message


def test_unknown_drill_is_a_problem() -> None:
    """A mistyped drill would prove nothing, and nobody would notice."""
    [problem] = problems_of(with_alert(load_plan(), "LimiterStoreDown", drill="hold-limitter"))
    assert problem.where == "catalogue.yaml: watch.LimiterStoreDown.drill"
    assert "hold-limiter" in problem.fix


def test_page_without_a_proof_is_a_problem() -> None:
    """Guards and alerts on log lines need a test when they page, and none when they do not."""
    plan = load_plan()
    guards = tuple(
        replace(guard, entry=guard.entry.model_copy(update={"drilled_by": None}))
        for guard in plan.guards
    )
    page = {"severity": plan.paging_severity}
    [log_alert, *others] = plan.log_alerts
    paging = replace(log_alert, entry=log_alert.entry.model_copy(update=page))
    problems = problems_of(replace(plan, guards=guards, log_alerts=(paging, *others)))
    assert [problem.where for problem in problems] == [
        f"catalogue.yaml: logs.{log_alert.name}",
        GUARD,
    ]


def test_sli_without_a_drill_is_a_problem(plan_of: Callable[..., Plan], tmp_path: Path) -> None:
    """Its SLOs can page: name a drill of the kind, and a route that it breaks."""
    removed = (("availability: route-errors, ", ""),)
    [problem, *_] = problems_of(plan_of((), removed))
    assert problem.where == "policy.yaml: drill.by_sli.availability"
    assert "is missing" in problem.message
    [problem] = problems_of(plan_of(SMALL), tmp_path)
    assert "route-errors raises no alert of this catalogue" in problem.message
    assert problems_of(plan_of(SMALL + "\ndrill: {route: things.list}\n"), tmp_path) == []


def test_a_kind_of_sli_whose_pages_are_off_needs_no_drill(
    plan_of: Callable[..., Plan], tmp_path: Path
) -> None:
    """But the route that drills break must page."""
    drill = "\ndrill: {route: things.list}\n"
    silent = SMALL.replace("{http: GET /things/", "{alerts: {disable: [page]}, http: GET /things/")
    assert problems_of(plan_of(silent), tmp_path) == []
    other = "  things.get: {http: GET /thing/, next_steps: [Look at it.]}\nprobe:"
    [problem] = problems_of(plan_of(silent.replace("probe:", other) + drill), tmp_path)
    assert "route-errors raises no alert of this catalogue" in problem.message
