"""Mistakes in catalogue.yaml and policy.yaml are listed at once, with place and fix."""

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest

from observability.generate.dashboards.registry import boards
from observability.spec import board_slugs, names
from observability.spec import plan as plans
from observability.spec.loading import load_entries
from observability.spec.problems import Invalid, Problem
from observability.spec.quantities import Duration, parse_duration
from observability.spec.schema.fields import parse_http, parse_percent
from observability.spec.schema.policy import TierEntry
from tests.observability.spec.wrong_entries import WRONG_IN_CATALOGUE, WRONG_IN_POLICY


def matching(problems: list[Problem], file: str, key: str, message: str, fix: str) -> list[Problem]:
    """Return the problems at that key, in any line, with that message and fix."""
    place = re.compile(rf"{re.escape(file)}:\d+: {re.escape(key)}")
    return [
        problem
        for problem in problems
        if place.fullmatch(problem.where)
        and message in problem.message
        and problem.fix.startswith(fix)
    ]


@pytest.mark.parametrize("case", sorted(WRONG_IN_CATALOGUE))
def test_catalogue_mistakes_are_reported_with_their_fix(
    case: str, problems_of: Callable[..., list[Problem]]
) -> None:
    """Each mistake gives a problem with file, key and fix."""
    edit, expected = WRONG_IN_CATALOGUE[case]
    problems = problems_of((edit,))
    assert matching(problems, "catalogue.yaml", *expected), [str(p) for p in problems]


@pytest.mark.parametrize("case", sorted(WRONG_IN_POLICY))
def test_policy_mistakes_are_reported_with_their_fix(
    case: str, problems_of: Callable[..., list[Problem]]
) -> None:
    """Each mistake in the policy gives a problem with file, key and fix."""
    edit, expected = WRONG_IN_POLICY[case]
    problems = problems_of((), (edit,))
    assert matching(problems, "policy.yaml", *expected), [str(p) for p in problems]


def test_a_missing_guard_is_a_problem(problems_of: Callable[..., list[Problem]]) -> None:
    """Renaming a guard does not disable it."""
    problems = problems_of((), (("  Watchdog:\n", "  Watchdgo:\n"),))
    assert matching(problems, "policy.yaml", "guards.Watchdog", "is missing", "add `Watchdog:`")


def line_of(path: Path, text: str) -> int:
    """Return the number of the one line with that text."""
    lines = path.read_text(encoding="utf-8").splitlines()
    [number] = [number for number, line in enumerate(lines, 1) if text in line]
    return number


def test_five_mistakes_are_five_problems(
    problems_of: Callable[..., list[Problem]], tmp_path: Path
) -> None:
    """All problems of both files are listed at once, with their lines and in the order of these."""
    problems = problems_of(
        (
            ("    availability: 99.95", "    availability: 100"),
            ("    rate_limit: 600/minute", "    rate_limits: 600/minute"),
            ("  docs.page: GET /docs\n", "  docs.page: GET docs\n"),
            ("{threshold: 200ms, objective: 95}", "{threshold: 200, objective: 95}"),
        ),
        (("windows: [{over: 1m, ratio: 0.55}]", "windows: []"),),
    )
    places = (
        ("catalogue.yaml", "defaults.latency.0.threshold", "{threshold: 200,"),
        ("catalogue.yaml", "routes.parcels.ingest.availability", "availability: 100"),
        ("catalogue.yaml", "routes.parcels.ingest.rate_limits", "rate_limits: 600/minute"),
        ("catalogue.yaml", "exempt.docs.page.http", "docs.page: GET docs"),
        ("policy.yaml", "tiers.P0.windows", "P0: {severity: page"),
    )
    assert [problem.where for problem in problems] == [
        f"{file}:{line_of(tmp_path / file, text)}: {key}" for file, key, text in places
    ]
    assert all(p.message and p.fix for p in problems)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"# a comment alone\n", "is empty"),
        (b"- a\n- b\n", "is no mapping"),
        (b"just words", "is no mapping"),
        (b"a: [1, 2\nb: {", "is not YAML"),
        (b"a: \xff\xfe", "is not YAML"),
        (b"a: \x07", "is not YAML"),
        (b"? [a, b]\n: c\n", "is not YAML"),
        (b"a: &x [*x]\n", "is missing"),
        (b"1: one\ntrue: two\n", "is missing"),
    ],
)
def test_a_file_of_another_form_is_a_problem(content: bytes, message: str, tmp_path: Path) -> None:
    """Whatever the bytes are, there is a problem to read, and no traceback."""
    path = tmp_path / "catalogue.yaml"
    path.write_bytes(content)
    with pytest.raises(Invalid) as error:
        load_entries(path)
    assert any(message in p.message for p in error.value.problems), str(error.value)
    assert all(p.where.startswith("catalogue.yaml") for p in error.value.problems)


def test_missing_file_is_a_problem(tmp_path: Path) -> None:
    """A missing file gives its whole path and the option that names another."""
    with pytest.raises(Invalid) as error:
        load_entries(tmp_path / "none.yaml")
    assert [(p.where, p.fix) for p in error.value.problems] == [
        (f"{tmp_path}/none.yaml", "name the file with --catalogue or --policy")
    ]


def test_a_drill_in_watch_is_any_word(plan_of: Callable[..., plans.Plan]) -> None:
    """The catalogue does not know the drills, so another service may have its own."""
    changed = plan_of((("    drill: stop-inbox", "    drill: some-other-drill"),))
    assert [
        alert.entry.drill for alert in changed.symptoms if alert.name == "AlertDeliveryFailing"
    ] == ["some-other-drill"]


def test_the_slis_of_the_policy_are_those_of_the_plan() -> None:
    """A tier can name every kind of SLO that the plan makes, and no other."""
    named = TierEntry.model_fields["slis"].annotation
    allowed = next(
        inner for inner in get_args(get_args(named)[0]) if inner is not Ellipsis and get_args(inner)
    )
    while get_args(get_args(allowed)[0]):
        allowed = get_args(allowed)[0]
    assert set(get_args(allowed)) == {
        plans.AVAILABILITY,
        plans.LATENCY,
        plans.FRESHNESS,
        plans.PROBE,
        plans.COUNTER_RATIO,
        plans.GAUGE_VALUE,
    }


@pytest.mark.parametrize("value", [True, None, "", "NaN", "Infinity", [], 49.99, 99.9999])
def test_other_objectives_are_refused(value: object) -> None:
    """An objective leaves a budget, and can be met while its alerts are silent."""
    with pytest.raises(ValueError, match="is no objective"):
        parse_percent(value)


def test_edges_of_objectives_and_routes_are_read() -> None:
    """The bounds themselves are allowed; a route keeps its parameters."""
    assert (parse_percent(50), parse_percent("99.999")) == (Decimal(50), Decimal("99.999"))
    assert str(parse_http("DELETE /a/{b_c}/d.e-f")) == "DELETE /a/{b_c}/d.e-f"
    assert parse_duration(Duration("x", Decimal(1))).text == "x"


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2]",
        "routes: []",
        "routes: {a.b: 5}",
        "routes: {a.b: {http: [], latency: {x: 1}}}",
        "routes: [a.b]\nexempt: [a.b]",
        "probe: text",
        "5",
    ],
)
def test_documents_of_another_shape_give_problems(
    files: Callable[..., tuple[Path, Path]], text: str
) -> None:
    """Any contents give problems and no exception."""
    with pytest.raises(Invalid) as caught:
        load_entries(*files(text))
    assert caught.value.problems


SERVICE_LINE = "service: evara-api\n"


@pytest.mark.parametrize("service", ["Evara", "evara_api", "1api", "-api", "''", "evara api"])
def test_a_service_outside_its_pattern_is_refused(
    problems_of: Callable[..., list[Problem]], service: str
) -> None:
    """Its name is part of uids and URLs: small letters, digits and hyphens, a letter first."""
    problems = problems_of(((SERVICE_LINE, f"service: {service}\n"),))
    assert matching(
        problems, "catalogue.yaml", "service", "does not fit", "write it like evara-api"
    )


def test_a_service_is_as_long_as_grafana_allows(
    plan_of: Callable[..., plans.Plan], problems_of: Callable[..., list[Problem]]
) -> None:
    """The longest uid of a dashboard has 40 characters; with one more the service is refused."""
    longest = "a" * (40 - len("-dependencies"))
    plan = plan_of(((SERVICE_LINE, f"service: {longest}\n"),))
    assert max(len(names.board_uid(plan.service, board.slug)) for board in boards(plan)) == 40
    [problem] = problems_of(((SERVICE_LINE, f"service: {longest}a\n"),))
    assert problem.where.endswith(": service")
    assert "would have 41 characters, of which 40 are allowed" in problem.message
    assert problem.fix == "shorten it to 27 characters, where a dot counts twice"


def test_every_board_has_a_declared_slug(plan: plans.Plan) -> None:
    """The length of a service follows from all boards that there are."""
    assert sorted(board.slug for board in boards(plan)) == sorted(board_slugs.ALL)


def test_shape_problems_of_every_kind_are_listed_together(
    problems_of: Callable[..., list[Problem]],
) -> None:
    """Unknown and repeated keys, a repeated id and a wrong service do not hide each other."""
    problems = problems_of(
        (
            (SERVICE_LINE, "service: Evara\nservise: x\n"),
            ("period: 30d", "period: 30d\nperiod: 7d"),
            ("  docs.page: GET /docs\n", "  orders.list: GET /docs\n"),
        ),
        (("speed: 60", "speed: 0"),),
    )
    assert [problem.where.split(": ")[1] for problem in problems] == [
        *("service", "servise", "period", "exempt.orders.list", "drill.speed"),
    ]


def test_files_are_compared_when_both_are_valid(
    problems_of: Callable[..., list[Problem]],
) -> None:
    """An unknown owner is reported only when nothing is wrong with the shapes."""
    owner = ("    owner: upstream", "    owner: nobody")
    assert len(problems_of((owner,))) == 1
    [wrong_value] = problems_of((owner, (SERVICE_LINE, "service: Evara\n")))
    assert wrong_value.where.endswith(": service")
    [repeated_key] = problems_of((owner, (SERVICE_LINE, SERVICE_LINE * 2)))
    assert "written twice" in repeated_key.message
