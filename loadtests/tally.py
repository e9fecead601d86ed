"""The counts of a load run."""

from collections import Counter
from typing import Any

UNHANDLED = "exceptions outside of requests, which Locust has logged"
Counts = dict[str, dict[str, int]]  # name of the counter → what was counted → number


class Tally:
    """Counts of requests sent, answered and ended, failures and good answers by scenario.

    The server may or may not have counted a request that was sent and not answered: it was cut off
    at the end, or the connection broke.
    """

    def __init__(self, scenarios: list[dict[str, Any]]):
        self._thresholds = {
            scenario["id"]: {
                objective["slo"]: objective["within"]
                for objective in scenario["objectives"]
                if objective["within"] is not None
            }
            for scenario in scenarios
        }
        self.sent = Counter[str]()
        self.answered = Counter[str]()
        self.total = Counter[str]()
        self.failed = Counter[str]()
        self.good = Counter[str]()
        self.quick = Counter[str]()  # good answers within the threshold of an objective, by its SLO
        self.errors = Counter[str]()
        self.exceptions = Counter[str]()  # of users, which then sent less than they should

    def add(self, name: str, seconds: float, error: str, *, answered: bool = True) -> None:
        """Count a request that ended; an empty `error` means that its answer was good."""
        self.total[name] += 1
        self.answered[name] += answered
        if error:
            self.failed[name] += 1
            printable = [sign if sign.isprintable() else "�" for sign in error]
            self.errors[f"{name}: {''.join(printable)}"] += 1
            return
        self.good[name] += 1
        for slo, within in self._thresholds[name].items():
            self.quick[slo] += seconds <= within

    def take(self) -> Counts:
        """Return all counts and start anew."""
        counters = self._counters()
        counts = {name: dict(counter) for name, counter in counters.items()}
        for counter in counters.values():
            counter.clear()
        return counts

    def forget_requests(self, **_: Any) -> None:
        """Start anew, but keep the exceptions: they change the load until the end."""
        self.exceptions.update(self.take()["exceptions"])

    def merge(self, counts: Counts) -> None:
        """Add counts that another tally returned."""
        for name, counter in self._counters().items():
            counter.update(counts[name])

    def _counters(self) -> dict[str, "Counter[str]"]:
        """Return the counters by the names of their attributes."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Counter)}
