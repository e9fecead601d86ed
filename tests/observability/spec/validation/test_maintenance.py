"""Mistakes in declared maintenance, and windows that only seem to overlap."""

from collections.abc import Callable

import pytest

from observability.spec.drill_clock import accelerate
from observability.spec.plan import Plan
from observability.spec.problems import Problem
from tests.observability.spec.test_schema import matching

ONCE = '{from: 2026-12-06T02:00:00Z, for: 1h, reason: "PostgreSQL upgrade"}'
WEEKLY = "{from: 2026-12-06T02:00:00Z, for: 30m, every: 7d, reason: Weekly restart}"


def maintenance(*entries: str) -> tuple[str, str]:
    """Return the edit that declares maintenance."""
    return "period: 30d\n", "period: 30d\nmaintenance:\n" + "".join(f"  - {e}\n" for e in entries)


def at(start: str, length: str, every: str = "") -> str:
    """Return an entry."""
    repeats = f"every: {every}, " if every else ""
    return f"{{from: {start}, for: {length}, {repeats}reason: R}}"


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (
            (at("2026-12-06T02:00:00Z", "0s"),),
            ("maintenance.0.for", "'0s' is no time at all", "write a duration above zero"),
        ),
        (
            (at("2026-12-06T02:00:00Z", "31d"),),
            ("maintenance.0.for", "is 31d long, but the period is 30d", "write a shorter time"),
        ),
        (
            (at("2026-12-06T02:00:00Z", "2h", "120m"),),
            ("maintenance.0", "repeats every 120m, but is 2h long", "write a longer `every`"),
        ),
        *(
            (
                (at(wrong, "1h"),),
                ("maintenance.0.from", "is no time in UTC", "write it without quotes, as in 2026"),
            )
            for wrong in (
                "2026-12-06T02:00:00",
                "2026-12-06T02:00:00+01:00",
                "2026-12-06T02:00:00.5Z",
                "2026-12-06",
                "'2026-12-06T02:00:00Z'",
                "soon",
            )
        ),
        (
            ("{from: 2026-12-06T02:00:00Z, for: 1h}",),
            ("maintenance.0.reason", "is missing", "add `reason:`"),
        ),
        (
            (ONCE, at("2026-12-06T02:59:59Z", "1h")),
            (
                "maintenance.1",
                "overlaps 2026-12-06T02:00:00Z for 1h: PostgreSQL upgrade",
                "make one window of both",
            ),
        ),
        *(
            ((first, second), ("maintenance.1", "overlaps 20", "make one window of both"))
            for first, second in (
                (ONCE, WEEKLY),
                (WEEKLY, at("2027-02-07T02:29:00Z", "1m")),
                (WEEKLY, at("2027-02-07T01:50:00Z", "11m")),
                (WEEKLY, at("2026-12-06T01:50:00Z", "11m")),
                (WEEKLY, at("2026-12-07T02:10:00Z", "5m", "1d")),
                (at("2026-12-06T02:00:00Z", "30m", "2h"), at("2026-12-07T02:10:00Z", "5m", "3h")),
                (at("2026-12-06T02:00:00Z", "30m", "2h"), at("2026-12-07T01:55:00Z", "6m", "3h")),
            )
        ),
    ],
)
def test_mistakes_are_reported_with_their_fix(
    entries: tuple[str, ...],
    expected: tuple[str, str, str],
    problems_of: Callable[..., list[Problem]],
) -> None:
    """Each mistake gives a problem with file, key and fix."""
    problems = problems_of((maintenance(*entries),))
    assert matching(problems, "catalogue.yaml", *expected), [str(p) for p in problems]


@pytest.mark.parametrize(
    "entries",
    [
        (ONCE, at("2026-12-06T03:00:00Z", "1h")),
        (ONCE, at("2026-12-06T01:00:00Z", "1h")),
        (WEEKLY, at("2026-12-06T02:30:00Z", "1h")),
        (WEEKLY, at("2027-02-07T01:00:00Z", "1h")),
        (WEEKLY, at("2026-11-29T02:00:00Z", "1h")),  # before its first window
        (WEEKLY, at("2026-12-06T02:30:00Z", "5m", "1d")),
        (at("2026-12-06T02:00:00Z", "30m", "2h"), at("2026-12-06T03:30:00Z", "30m", "2h")),
    ],
)
def test_windows_may_touch(entries: tuple[str, ...], plan_of: Callable[..., Plan]) -> None:
    """One may start when another ends, and a window before the first of a series is none of it."""
    assert len(plan_of((maintenance(*entries),)).maintenance) == 2


def test_drills_have_no_maintenance(plan_of: Callable[..., Plan]) -> None:
    """A drill within a window must raise its alerts."""
    plan = plan_of((maintenance(ONCE, at("2026-12-06T03:00:00Z", "1h", "1d")),))
    assert accelerate(plan).maintenance == ()
