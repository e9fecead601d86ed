"""The comparison of what clients and server counted in a load run, within their errors."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from observability.load.server_counts import SHARES, Side

PROBES_BETWEEN = 2  # API and prober are scraped at different moments: one probe at each end
P95 = SHARES["p95"]


@dataclass(frozen=True)
class Finding:
    """A number on which the sides disagree, and the limits of the `judged` one."""

    route: str
    number: str  # requests, failed or p95 (seconds)
    clients: float
    server: float
    judged: str  # server or clients
    low: float
    high: float
    meaning: str


OTHERS = (
    "Somebody else called during the run: a person, a script, another load run. "
    "The log names every request and its caller (make logs P=api); "
    "run again while nobody else calls."
)
LOST = (
    "Requests were answered but not counted: a worker's metrics were lost, "
    "or another server answers at this address. "
    "Compare the metrics page with what one request adds to it, and look at make status."
)
UNSEEN = (
    "The server gave answers that the contract does not promise and that no client saw: "
    "somebody else called, or a client's library "
    "hid them. The log has every answer with its status (make logs P=api)."
)
IN_FRONT = (
    "Clients saw failures that the server does not know: "
    "something in front of it answered instead, or codes are counted wrongly. "
    "The errors below have the answers' own words."
)
IMPOSSIBLE = (
    "No client can be faster than the server that answers it: "
    "durations are measured or counted in the wrong buckets. "
    "Look at the route's buckets in Prometheus and at how the API measures."
)
WAITING = (
    "Requests wait in front of the server, where it does not measure and no promise is judged: "
    "too few workers or threads for "
    "this rate, or the clients' own machine is busy. "
    "Look at the workers' CPU below; lower RATE, or raise EVARA_WORKERS."
)


def compare(row: dict[str, Any], side: Side) -> Iterator[Finding]:
    """Yield every number of a route on which the sides disagree.

    `row` is Locust's (see loadtests/locustfile.py). The server may have counted a request that was
    sent and not answered, and it has counted the requests of the prober.
    """
    name, clients, unknown = row["route"], row["clients"], row["sent"] - row["answered"]
    slack = PROBES_BETWEEN if side.probed else 0
    least = row["answered"] + side.probes - side.probes_failed - slack
    most = row["sent"] + side.probes + slack
    others = side.requests > most
    if others or side.requests < least:
        meaning = OTHERS if others else LOST
        yield Finding(
            name,
            "requests",
            clients["requests"],
            side.requests,
            "server",
            max(least, 0),
            most,
            meaning,
        )
    least = clients["failed"] - (
        clients["requests"] - row["answered"]
    )  # what broke has no answer that the server could count
    most = least + unknown + side.probes_failed
    if not least <= side.failed <= most:
        meaning = IN_FRONT if side.failed < least else OTHERS if others else UNSEEN
        yield Finding(
            name, "failed", clients["failed"], side.failed, "server", least, most, meaning
        )
    if clients["p95"] is not None:
        low, high = bounds(row, side)
        error = rounding(clients["p95"])
        if not low - error <= clients["p95"] <= high + error:
            meaning = IMPOSSIBLE if clients["p95"] < low else WAITING
            yield Finding(
                name,
                "p95",
                clients["p95"],
                side.buckets.quantile(P95) or 0.0,
                "clients",
                low,
                high,
                meaning,
            )


def bounds(row: dict[str, Any], side: Side) -> tuple[float, float]:
    """Return the seconds between which the clients' p95 must lie.

    No client waits for less time than the server works. The rank of the clients' 95th of 100
    among all that the server counted is known but for the requests that only one side has; each
    moves it by at most one place. Above, a request may wait in front of the server, not longer
    than the tightest latency promise: beyond that the promise no longer says what callers feel.
    """
    rank, broken = P95 * row["clients"]["requests"], row["clients"]["requests"] - row["answered"]
    _, low, _ = side.buckets.around(rank - broken)
    _, _, high = side.buckets.around(rank + 1 + max(0, side.requests - row["answered"]))
    return low, math.inf if row["within"] is None else high + row["within"]


def rounding(seconds: float) -> float:
    """Return the rounding error of Locust in seconds: 1 ms below 100 ms, two digits above."""
    return 0.0005 if seconds < 0.1 else 10 ** math.floor(math.log10(seconds)) / 20


def words(finding: Finding) -> str:
    """Return a finding as one sentence."""

    def value(number: float) -> str:
        return f"{number * 1000:.0f} ms" if finding.number == "p95" else f"{number:.0f}"

    limits = (
        f"{value(finding.low)} to {value(finding.high)}"
        if math.isfinite(finding.high)
        else f"at least {value(finding.low)}"
    )
    limits = value(finding.low) if finding.low == finding.high else limits
    what = {"requests": "requests", "failed": "failures", "p95": "p95"}[finding.number]
    whose = "the server's" if finding.judged == "server" else "the clients'"
    return (
        f"{finding.route}, {what}: clients {value(finding.clients)}, "
        f"server {value(finding.server)}; {whose} must be {limits}."
    )


def as_dict(finding: Finding) -> dict[str, Any]:
    """Return a finding for report.json, which has no infinity."""
    return {
        **vars(finding),
        "high": None if math.isinf(finding.high) else finding.high,
        "key": f"{finding.route} {finding.number}",
        "text": words(finding),
    }
