"""The comparison of what clients and server counted in a load run, within their errors."""

import math
from dataclasses import dataclass

from observability.lib.json_object import Json
from observability.load.buckets import QUANTILES
from observability.load.server_counts import ServerCounts

PROBES_BETWEEN = 2  # API and prober are scraped at different moments: one probe at each end
P95 = QUANTILES["p95"]
SERVER = "server"
CLIENTS = "clients"
POSSESSIVES = {SERVER: "server's", CLIENTS: "clients'"}
NUMBER_TEXTS = {"requests": "requests", "failed": "failures", "p95": "p95"}


@dataclass(frozen=True)
class Finding:
    """A number as both sides have it, and the limits of the `judged` one."""

    route: str
    number: str  # requests, failed or p95 (seconds)
    clients: float
    server: float
    judged: str  # server or clients
    low: float
    high: float
    meaning: str

    @property
    def is_disagreement(self) -> bool:
        """Return whether the judged number is outside its limits by more than its error."""
        if self.judged == SERVER:
            return not self.low <= self.server <= self.high
        error = estimate_rounding_error(self.clients)
        return not self.low - error <= self.clients <= self.high + error


OTHERS = (
    "Another client sent requests during the run: a person, a script, another load run. "
    "The log has every request with its API key id (make logs P=api). "
    "Repeat the run without other clients."
)
LOST = (
    "Requests were answered but not counted: a worker's metrics were lost, "
    "or another server answers at this address. "
    "Send one request, check that the counters at /metrics increase, and run make status."
)
UNSEEN = (
    "The server sent responses that the contract does not list and that no client received: "
    "another client sent requests, or a client library "
    "retried. The log has every request with its status (make logs P=api)."
)
IN_FRONT = (
    "Clients received failures that the server did not count: "
    "a proxy in front of it answered, or status codes are counted wrongly. "
    "The errors below quote the responses."
)
IMPOSSIBLE = (
    "No client can be faster than the server that answers it: "
    "durations are measured or counted in the wrong buckets. "
    "Look at the route's buckets in Prometheus and at how the API measures."
)
WAITING = (
    "Requests wait in front of the server, where it does not measure their time: "
    "there are too few workers or threads for "
    "this rate, or the clients' machine is busy. "
    "Look at the workers' CPU below; lower RATE, or raise EVARA_WORKERS."
)


def find_disagreements(row: Json, server: ServerCounts) -> list[Finding]:
    """Return every number of a route on which the sides disagree.

    `row` is Locust's (see loadtests/locustfile.py). The server may have counted a request that was
    sent and not answered, and it has counted the requests of the prober.
    """
    findings = [judge_requests(row, server), judge_failures(row, server)]
    if row["clients"]["p95"] is not None:
        findings.append(judge_p95(row, server))
    return [finding for finding in findings if finding.is_disagreement]


def judge_requests(row: Json, server: ServerCounts) -> Finding:
    """Return the limits of the number of requests that the server may have counted."""
    slack = PROBES_BETWEEN if server.probed else 0
    least = row["answered"] + server.probes - server.probes_failed - slack
    most = row["sent"] + server.probes + slack
    meaning = OTHERS if server.requests > most else LOST
    clients = row["clients"]["requests"]
    return Finding(
        row["route"], "requests", clients, server.requests, SERVER, max(least, 0), most, meaning
    )


def judge_failures(row: Json, server: ServerCounts) -> Finding:
    """Return the limits of the number of failures that the server may have counted."""
    clients = row["clients"]
    broken = clients["requests"] - row["answered"]  # no answer that the server could count
    unknown = row["sent"] - row["answered"]
    least = clients["failed"] - broken
    most = least + unknown + server.probes_failed
    meaning = UNSEEN
    if server.failed < least:
        meaning = IN_FRONT
    elif server.requests > judge_requests(row, server).high:
        meaning = OTHERS
    return Finding(
        row["route"], "failed", clients["failed"], server.failed, SERVER, least, most, meaning
    )


def judge_p95(row: Json, server: ServerCounts) -> Finding:
    """Return the limits of the 95th percentile of the clients."""
    p95 = row["clients"]["p95"]
    low, high = compute_p95_limits(row, server)
    meaning = IMPOSSIBLE if p95 < low else WAITING
    of_server = server.buckets.quantile(P95) or 0.0
    return Finding(row["route"], "p95", p95, of_server, CLIENTS, low, high, meaning)


def compute_p95_limits(row: Json, server: ServerCounts) -> tuple[float, float]:
    """Return the seconds between which the clients' p95 must lie.

    No client waits for less time than the server works. The rank of the clients' 95th of 100
    among all that the server counted is known but for the requests that only one side has; each
    moves it by at most one place. Above, a request may wait in front of the server, not longer
    than the tightest latency promise: beyond that the promise no longer says what callers feel.
    """
    requests = row["clients"]["requests"]
    rank = P95 * requests
    only_clients = requests - row["answered"]
    only_server = max(0, server.requests - row["answered"])
    low, _ = server.buckets.edges_around(rank - only_clients)
    _, high = server.buckets.edges_around(rank + 1 + only_server)
    if row["within"] is None:
        return low, math.inf
    return low, high + row["within"]


def estimate_rounding_error(seconds: float) -> float:
    """Return the rounding error of Locust in seconds: 1 ms below 100 ms, two digits above."""
    if seconds < 0.1:
        return 0.0005
    return float(10 ** math.floor(math.log10(seconds))) / 20


def describe(finding: Finding) -> str:
    """Return a finding as one sentence."""
    number = finding.number
    clients = format_number(number, finding.clients)
    server = format_number(number, finding.server)
    low = format_number(number, finding.low)
    high = format_number(number, finding.high)
    limits = f"{low} to {high}"
    if finding.low == finding.high:
        limits = low
    elif math.isinf(finding.high):
        limits = f"at least {low}"
    return (
        f"{finding.route}, {NUMBER_TEXTS[number]}: clients {clients}, "
        f"server {server}; the {POSSESSIVES[finding.judged]} must be {limits}."
    )


def format_number(number: str, value: float) -> str:
    """Return a value of a finding as text: a percentile in milliseconds, or a count."""
    if number == "p95":
        return f"{value * 1000:.0f} ms"
    return f"{value:.0f}"


def as_dict(finding: Finding) -> Json:
    """Return a finding for report.json, which has no infinity."""
    row = vars(finding) | {
        "key": f"{finding.route} {finding.number}",
        "text": describe(finding),
    }
    if math.isinf(finding.high):
        row["high"] = None
    return row
