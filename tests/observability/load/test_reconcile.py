"""Disagreements of clients and server: each number in each direction, and no false alarm."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observability.load import reconcile
from observability.load.buckets import Buckets
from observability.load.reconcile import (
    IMPOSSIBLE,
    IN_FRONT,
    LOST,
    OTHERS,
    UNSEEN,
    WAITING,
    find_disagreements,
)
from observability.load.server_counts import ServerCounts

INF = math.inf
EDGES = (0.01, 0.05, 0.1, 0.2, 1.0, INF)


def clients(
    requests: int = 100,
    failed: int = 0,
    p95: float | None = 0.08,
    within: float | None = 0.2,
    **more: int,
) -> dict[str, Any]:
    row = {"route": "orders.list", "sent": requests, "answered": requests, "within": within} | more
    return row | {"clients": {"requests": requests, "failed": failed, "p95": p95}}


def server(
    requests: int = 100,
    failed: int = 0,
    probes: int | None = None,
    probes_failed: int = 0,
    slow: int = 50,
) -> ServerCounts:
    """`slow` of the answers took 50 to 100 ms, the others less than 10."""
    fast = requests - slow
    probed = probes is not None
    return ServerCounts(
        requests,
        failed,
        probes or 0,
        probes_failed,
        probed,
        Buckets(EDGES, (fast, fast, requests, requests, requests, requests)),
    )


@pytest.mark.parametrize(
    ("row", "side", "number", "meaning"),
    [
        (clients(), server(150), "requests", OTHERS),
        (clients(), server(101), "requests", OTHERS),
        (clients(), server(99), "requests", LOST),
        (clients(), server(115, probes=12), "requests", OTHERS),
        (clients(), server(109, probes=12), "requests", LOST),
        (clients(answered=98, sent=101), server(102), "requests", OTHERS),
        (clients(answered=98, sent=101), server(97), "requests", LOST),
        (clients(), server(failed=3), "failed", UNSEEN),
        (clients(failed=3), server(failed=2), "failed", IN_FRONT),
        (clients(p95=0.049), server(), "p95", IMPOSSIBLE),
        (clients(p95=0.31), server(), "p95", WAITING),
        (clients(p95=0.9), server(), "p95", WAITING),
    ],
)
def test_a_disagreement_is_found(
    row: dict[str, Any], side: ServerCounts, number: str, meaning: str
) -> None:
    """Each number just outside its limits is found, in both directions, with its explanation."""
    findings = [finding for finding in find_disagreements(row, side) if finding.number == number]
    assert [finding.meaning for finding in findings] == [meaning]


@pytest.mark.parametrize(
    ("row", "side"),
    [
        (clients(), server()),
        (clients(), server(112, probes=12)),
        (clients(), server(110, probes=12)),
        (clients(), server(114, probes=12)),
        (clients(), server(102, probes=0)),
        (clients(), server(110, 2, probes=12, probes_failed=2)),
        (clients(answered=98, sent=101, failed=2), server(98)),
        (clients(answered=98, sent=101, failed=2), server(101)),
        (clients(answered=98, sent=101, failed=2), server(101, failed=3)),
        (clients(failed=3), server(failed=3)),
        (clients(p95=0.05), server()),
        (clients(p95=0.3), server()),
        (clients(p95=9, within=None), server()),
        (
            clients(p95=0.008, answered=90, failed=10),
            server(slow=10),
        ),  # the slow ones are those that broke
        (
            clients(p95=0.15),
            ServerCounts(100, 0, 0, 0, False, Buckets((0.152, 0.3, INF), (0, 100, 100))),
        ),  # 153 ms, as Locust keeps it
        (clients(0, p95=None), server(0, slow=0)),
    ],
)
def test_what_may_differ_is_no_disagreement(row: dict[str, Any], side: ServerCounts) -> None:
    """Probes, unanswered requests, rounding, and waiting within the tightest promise."""
    assert list(find_disagreements(row, side)) == []


def test_other_callers_explain_their_failures() -> None:
    """Additional requests that failed have one explanation, not two."""
    assert {
        finding.meaning for finding in find_disagreements(clients(), server(150, failed=30))
    } == {OTHERS}


def test_missing_counts_allow_no_judgement_of_durations() -> None:
    """Where the server lost most of the requests, their durations are unknown, not impossible."""
    assert [finding.number for finding in find_disagreements(clients(), server(10, slow=0))] == [
        "requests"
    ]


@pytest.mark.parametrize(
    ("row", "side", "words"),
    [
        (
            clients(),
            server(150),
            "orders.list, requests: clients 100, server 150; the server's must be 100.",
        ),
        (
            clients(),
            server(150, probes=12),
            "orders.list, requests: clients 100, server 150; the server's must be 110 to 114.",
        ),
        (
            clients(failed=3),
            server(),
            "orders.list, failures: clients 3, server 0; the server's must be 3.",
        ),
        (
            clients(p95=0.9),
            server(),
            "orders.list, p95: clients 900 ms, server 95 ms; the clients' must be 50 ms to 300 ms.",
        ),
        (
            clients(p95=0.02, within=None),
            server(),
            "orders.list, p95: clients 20 ms, server 95 ms; the clients' must be at least 50 ms.",
        ),
    ],
)
def test_finding_is_a_sentence(row: dict[str, Any], side: ServerCounts, words: str) -> None:
    """It has the number, both values and the limits."""
    finding = next(iter(find_disagreements(row, side)))
    assert reconcile.describe(finding) == words
    assert reconcile.as_dict(finding)["high"] in (None, finding.high)


def locust(seconds: float) -> float:
    """Return a time as Locust's statistics keep it."""
    ms = seconds * 1000
    for digits, limit in ((0, 100), (-1, 1000), (-2, 10_000)):
        if ms < limit:
            return round(ms, digits) / 1000
    return round(ms, -3) / 1000


TIMES = st.floats(0.0001, 3)


@given(
    st.lists(st.tuples(TIMES, st.floats(0, 0.2)), min_size=1, max_size=60),
    st.lists(st.tuples(TIMES, st.booleans(), st.booleans()), max_size=5),
    st.lists(TIMES, max_size=5),
    st.integers(-2, 2),
)
def test_consistent_run_has_no_disagreement(
    answered: list[tuple[float, float]],
    broken: list[tuple[float, bool, bool]],
    probes: list[float],
    late: int,
) -> None:
    """Waits, failed and unfinished requests and probes are allowed."""
    seen = sorted(
        [locust(work + wait) for work, wait in answered]
        + [locust(time) for time, reported, _ in broken if reported]
    )
    count = len(seen)
    row = {
        "route": "x",
        "sent": len(answered) + len(broken),
        "answered": len(answered),
        "within": 0.2,
    }
    row["clients"] = {
        "requests": count,
        "failed": count - len(answered),
        "p95": seen[min(int(0.95 * count), count - 1)],
    }
    worked = (
        [work for work, _ in answered] + [time for time, _, counted in broken if counted] + probes
    )
    buckets = Buckets(EDGES, tuple(sum(time <= edge for time in worked) for edge in EDGES))
    counted_probes = max(0, len(probes) + late) if probes else 0
    assert (
        list(
            find_disagreements(
                row, ServerCounts(len(worked), 0, counted_probes, 0, bool(probes), buckets)
            )
        )
        == []
    )
