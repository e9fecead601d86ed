"""The alerts of a drill, as Prometheus has them and as the inbox received them."""

from collections.abc import Callable, Set
from operator import itemgetter

from observability.drill import DrillFailed
from observability.lib.alerts import fetch_delivered_alerts
from observability.lib.http import Unreachable, poll
from observability.lib.json_object import Json
from observability.lib.prometheus import ServicePrometheus
from observability.spec import names

AlertId = tuple[str, str]  # alertname, slo

ANY_SLO = "*"
ALWAYS_FIRING: frozenset[AlertId] = frozenset({(names.WATCHDOG_ALERT, "")})
STEP_SECONDS = 120.0  # no step may take longer, on a busy machine either
POLL_SECONDS = 0.25


def identify(labels: dict[str, str]) -> AlertId:
    """Return the identity of an alert with these labels."""
    return labels["alertname"], labels.get(names.SLO, "")


def format_alert(alert: AlertId) -> str:
    """Return an alert as text, with its SLO where it has one."""
    name, slo = alert
    return f"{name} {slo}".strip()


def format_alerts(alerts: Set[AlertId]) -> str:
    """Return the alerts as text, sorted."""
    return ", ".join(map(format_alert, sorted(alerts)))


def outlasts_drill(labels: dict[str, str], paging_severity: str) -> bool:
    """Return whether an alert stays until the budget has recovered.

    Burn-rate alerts that do not page look back over days, even on the drill's clock.
    """
    is_burn = labels["alertname"] == names.BURN_ALERT
    return is_burn and labels[names.SEVERITY] != paging_severity


class AlertWatch:
    """The alerts that were seen since the watch began; fails on an alert that is not allowed."""

    def __init__(
        self,
        required: frozenset[AlertId],
        allowed: frozenset[AlertId],
        prometheus: ServicePrometheus,
        inbox_url: str,
        paging_severity: str,
    ):
        self.required = required
        self._allowed = allowed | required | ALWAYS_FIRING
        self._prometheus = prometheus
        self._inbox_url = inbox_url
        self._paging_severity = paging_severity
        self._seen: dict[str, set[AlertId]] = {"pending": set(), "firing": set()}
        self._lasting: set[AlertId] = set()  # have fired and outlast the drill

    def firing(self) -> set[AlertId]:
        """Return the alerts that have fired and can end."""
        return self._seen["firing"]

    def active(self) -> set[AlertId]:
        """Return the alerts that were pending or have fired."""
        return self._seen["pending"] | self._seen["firing"]

    def observe(self) -> None:
        """Add the present alerts; raise DrillFailed when one fires that is not allowed."""
        for alert in self._prometheus.alerts():
            labels, state = alert["labels"], alert["state"]
            if not outlasts_drill(labels, self._paging_severity):
                self._seen[state].add(identify(labels))
            elif state == "firing":
                self._lasting.add(identify(labels))
        fired = self.firing() | self._lasting
        unexpected = {alert for alert in fired if not self._is_allowed(alert)}
        if unexpected:
            alerts = format_alerts(unexpected)
            raise DrillFailed(f"{alerts} fired, which this drill neither wants nor allows")

    def _is_allowed(self, alert: AlertId) -> bool:
        name, _ = alert
        return alert in self._allowed or (name, ANY_SLO) in self._allowed

    def wait_for(self, state: str, reached: Callable[[], Set[AlertId]]) -> None:
        """Observe until every required alert is in the state; raise DrillFailed after STEP_SECONDS.

        `reached` returns the alerts that are or were in it.
        """
        for _ in poll(STEP_SECONDS, POLL_SECONDS):
            self.observe()
            missing = self.required - reached()
            if not missing:
                return
        raise DrillFailed(f"not {state} after {STEP_SECONDS:.0f} s: {format_alerts(missing)}")

    def delivered(self) -> set[AlertId]:
        """Return the alerts that the inbox received."""
        every_label_set = [alert["labels"] for alert in self._fetch_inbox()]
        return {
            identify(labels)
            for labels in every_label_set
            if not outlasts_drill(labels, self._paging_severity)
        }

    def resolved(self) -> frozenset[AlertId]:
        """Return the required alerts when the inbox has the end of each that can end.

        Of an alert that fired several times the last one counts: when it fires again before its
        end was due to be delivered, that end is never delivered.
        """
        end_by_labels = {}
        for alert in sorted(self._fetch_inbox(), key=itemgetter("started")):
            labels = alert["labels"]
            can_end = not outlasts_drill(labels, self._paging_severity)
            if can_end and identify(labels) in self.required:
                end_by_labels[tuple(sorted(labels.items()))] = alert["resolved"]
        has_ended = end_by_labels and all(end_by_labels.values())
        return self.required if has_ended else frozenset()

    def _fetch_inbox(self) -> list[Json]:
        """Return the alerts that the inbox received; none while it does not answer."""
        try:
            return fetch_delivered_alerts(self._inbox_url)
        except Unreachable:
            return []  # the inbox may be stopped, or just starting
