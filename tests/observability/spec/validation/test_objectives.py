"""Objectives that say nothing beside others."""

from collections.abc import Callable

import pytest

from observability.spec.problems import Problem
from tests.observability.compiler_support import SMALL

SLOW = "{threshold: 1s, objective: 99.5}"


@pytest.mark.parametrize("slow", ["95", "94.9"])
def test_a_quicker_promise_that_holds_a_slower_one_is_named(
    problems_of: Callable[..., list[Problem]], slow: str
) -> None:
    """95 % within 200 ms includes 95 % within a second, which can never be missed alone."""
    [problem] = problems_of(((SLOW, SLOW.replace("99.5", slow)),))
    assert problem.where.endswith(": defaults.latency")
    assert problem.message == f"95 within 200ms makes {slow} within 1s say nothing"
    assert problem.fix == "promise more than 95 within 1s, or leave one out"


def test_the_same_threshold_twice_is_one_problem(
    problems_of: Callable[..., list[Problem]],
) -> None:
    """It would make two SLOs of one name; the threshold is named in seconds."""
    [problem] = problems_of(((SLOW, "{threshold: 200ms, objective: 99.5}"),))
    assert problem.where.endswith(": defaults.latency")
    assert problem.message == "0.2s stands there twice"


def test_an_objective_above_its_dependency_cannot_be_kept(
    problems_of: Callable[..., list[Problem]],
) -> None:
    """The problem names the dependency, its objective and both ways out."""
    [problem] = problems_of((("    availability: 99.95\n", "    availability: 99.999\n"),))
    assert problem.where.endswith(": routes.parcels.ingest.availability")
    assert problem.message.startswith("99.999 cannot be met: the route needs database")
    assert problem.fix.endswith("or raise dependencies.database.availability")


def test_a_route_without_any_objective_is_named(
    problems_of: Callable[..., list[Problem]],
) -> None:
    """Neither the route nor the defaults promise anything, so the route belongs to `exempt`."""
    [problem] = problems_of(SMALL.replace("availability: 99.9, latency: [], ", ""))
    assert problem.where.endswith(": routes.things.list")
    assert problem.message == "has neither availability nor latency"
    assert problem.fix.endswith("or declare it under exempt, for routes without SLO")


def test_a_catalogue_without_any_slo_is_named(problems_of: Callable[..., list[Problem]]) -> None:
    """All sections with SLOs are optional, but one must be there."""
    [problem] = problems_of("{service: small, owner: platform, period: 30d}")
    assert (problem.message, problem.fix) == (
        "the catalogue has no SLO",
        "declare one under slos, or a route under routes",
    )


def test_an_slo_of_all_routes_needs_routes(problems_of: Callable[..., list[Problem]]) -> None:
    """It would count nothing."""
    [problem] = problems_of(
        "{service: small, owner: platform, period: 30d, slos: "
        "{all: {routes: all, availability: 99, next_steps: [Look at it.]}}}"
    )
    assert problem.where.endswith(": slos.all.routes")
    assert problem.message == "the catalogue has no routes"
