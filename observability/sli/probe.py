"""Probe: the share of the time in which the prober reached a route from outside."""

from observability.lib.panel_builders import lines
from observability.lib.panel_queries import query
from observability.lib.panels import Panel, Unit
from observability.lib.runbook_check import RunbookCheck
from observability.sli.last_success import LastSuccess
from observability.spec import names
from observability.spec.plan import PROBE, PROBE_SOURCE, Slo


class Probe(LastSuccess):
    """The prober exposes the time of each route's last good answer."""

    name = PROBE
    promise_text = "of the time, the last successful probe is at most {slo.limit.text} old"
    bad_text = "the time {subject} could not be reached from outside"
    impact_text = "{slo.subject} cannot be reached from outside; most likely all requests fail."
    source = PROBE_SOURCE
    metric = names.PROBE_LAST_SUCCESS
    label = names.ROUTE

    def checks(self, slo: Slo) -> tuple[RunbookCheck, ...]:
        """Return the age of the last answer, and the targets that are up."""
        return (
            RunbookCheck(
                "How long ago was the last successful probe?", self._age(slo), Unit.SECONDS
            ),
            RunbookCheck("Which targets are up?", names.UP),
        )


def age_panel() -> Panel:
    """Return the age of each probed route's last answer."""
    return lines(
        "Age of the last answer",
        "Time since each probed route last answered.",
        Unit.SECONDS,
        query("time() - max by (<<ROUTE>>) (<<PROBE_LAST_SUCCESS>>)", "{{<<ROUTE>>}}"),
    )
