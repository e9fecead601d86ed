"""Freshness: the share of the time in which a job's last success is recent enough."""

from observability.lib.panel_builders import lines
from observability.lib.panel_queries import query, threshold_query
from observability.lib.panels import Panel, Unit
from observability.lib.promql import increases
from observability.lib.runbook_check import RunbookCheck
from observability.sli.last_success import LastSuccess
from observability.spec import names
from observability.spec.plan import FRESHNESS, JOB_SOURCE, Plan, Slo


class Freshness(LastSuccess):
    """Jobs expose the time of their last success."""

    name = FRESHNESS
    promise_text = "of the time, the last success is at most {slo.limit.text} old"
    bad_text = "the time {subject} was overdue"
    impact_text = "The results of {slo.subject} are older than they should be."
    source = JOB_SOURCE
    metric = names.JOB_LAST_SUCCESS
    label = names.JOB

    def checks(self, slo: Slo) -> tuple[RunbookCheck, ...]:
        """Return the age of the last success, and the outcomes of the job's runs."""
        runs = increases(names.OUTCOME, names.JOB_RUNS + "_total", "1h", task=slo.subject)
        return (
            RunbookCheck("How long ago did it last succeed?", self._age(slo), Unit.SECONDS),
            RunbookCheck("Do its runs fail, or does it not run at all?", runs),
        )


def age_panel(plan: Plan) -> Panel:
    """Return the age of each job's last success with the limits of the SLOs."""
    limits = plan.slos_by_limit(JOB_SOURCE, FRESHNESS)
    return lines(
        "Age of the last success",
        "Time since each job last succeeded.",
        Unit.SECONDS,
        query("time() - max by (<<JOB>>) (<<JOB_LAST_SUCCESS>>)", "{{<<JOB>>}}"),
        *map(threshold_query, limits),
    )
