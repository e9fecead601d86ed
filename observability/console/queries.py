"""The cached queries to the servers of one stack, whose answers all pages share."""

import math
import time
from dataclasses import dataclass

from observability.console.cache import NUMBERS_LIFETIME, AnswerCache, CachedPrometheus
from observability.devstack.addresses import find_addresses
from observability.devstack.layout import StackLayout
from observability.generate.dashboards.colours import series_colours
from observability.generate.dashboards.registry import boards
from observability.generate.runbook import entries
from observability.lib.alerts import fetch_active_alerts
from observability.lib.charts import svg
from observability.lib.http import Unreachable, responds
from observability.lib.json_object import Json
from observability.lib.panel_builders import table
from observability.lib.panels import BAD, GOOD, WARN, Panel, Query, Unit
from observability.lib.remote import Address
from observability.lib.templates import fill
from observability.slo.verdicts import SloResult, Verdict, measure
from observability.spec import names
from observability.spec.plan import Plan

QUERY_TIMEOUT = 5.0  # seconds
HEALTH_TIMEOUT = 1.0
CHART_LIFETIME = 15.0  # seconds for which an image is kept
LINKS_LIFETIME = 30.0
LOOKS = {GOOD: "good", WARN: "warn", BAD: "bad"}
URGENCY = {Verdict.MISSED: 0, Verdict.BROKEN: 0, Verdict.UNMEASURED: 1}  # shown before the others

AGE = f"time() - max by ({names.JOB}) ({names.JOB_LAST_SUCCESS})"
FAILED = f'sum by ({names.JOB}) ({names.JOB_RUNS}_total{{{names.OUTCOME}="error"}})'
TOTAL_BY_JOB = "sum by (<<JOB>>) (<<counter>>_total)"


@dataclass(frozen=True)
class Stat:
    """One number with its panel; `look` is good, warn, bad or nothing."""

    panel: Panel
    value: float | None
    look: str


@dataclass(frozen=True)
class ActiveAlerts:
    """The alerts that Alertmanager had not seen end, and when it was asked, Unix time."""

    at: float
    alerts: list[Json]


class Queries:
    """The queries to one stack. A method raises Unreachable unless it says otherwise.

    With another Prometheus instead of the stack's there is no Alertmanager and no Loki.
    """

    def __init__(self, layout: StackLayout, plan: Plan, server: Address | None = None):
        self.plan = plan
        self.server = server
        self.boards = {board.slug: board for board in boards(plan)}
        self.runbook = entries.entries(plan)
        self._layout = layout
        self._colours = series_colours(plan)
        self._cache = AnswerCache()
        used = server or Address(layout.url("prometheus"))
        self.prometheus = CachedPrometheus(used.url, plan, QUERY_TIMEOUT, self._cache, used.headers)
        loki_url = layout.url("loki") + "/prometheus"
        self._loki_rules = CachedPrometheus(loki_url, plan, HEALTH_TIMEOUT, self._cache)

    def require_prometheus(self) -> None:
        """Raise Unreachable unless Prometheus is ready.

        Pages ask this first, so that they wait for one short timeout at most. Other servers than
        Prometheus have its queries, but not its page `/-/ready`.
        """
        if self.server:
            self.prometheus.now()
            return
        if not self.is_ready("prometheus"):
            url = self._layout.url("prometheus")
            raise Unreachable(f"{url} is not ready within {HEALTH_TIMEOUT:.0f} s")

    def is_ready(self, server: str) -> bool:
        """Return whether Prometheus or Alertmanager is ready."""
        url = self._layout.url(server) + "/-/ready"
        return self._cache.get(server, NUMBERS_LIFETIME, lambda: responds(url, HEALTH_TIMEOUT))

    def links(self) -> list[tuple[str, str]]:
        """Return (label, URL) of every other page of the stack that responds."""
        if self.server:
            return [("Prometheus", self.prometheus.url)]
        own_url = self._layout.address("console")
        addresses = self._cache.get(
            "links", LINKS_LIFETIME, lambda: find_addresses(self._layout, HEALTH_TIMEOUT)
        )
        return [(label, url) for label, url in addresses if url != own_url]

    def slos(self) -> list[SloResult]:
        """Return the rows of the command `slo`, the urgent ones first."""
        rows = measure(self.plan, self.prometheus, self.plan.period)
        return sorted(rows, key=lambda row: URGENCY.get(row.verdict, len(URGENCY)))

    def rule_alerts(self) -> list[Json]:
        """Return the pending and firing alerts of Prometheus and, where it runs, of Loki."""
        return self.prometheus.alerts() + (self.log_alerts() or [])

    def log_alerts(self) -> list[Json] | None:
        """Return the pending and firing alerts of Loki, None while it does not answer."""
        if self.server:
            return None
        try:
            return self._loki_rules.alerts()
        except Unreachable:
            return None

    def active_alerts(self) -> ActiveAlerts | None:
        """Return the alerts of Alertmanager, None while it does not answer."""
        if self.server:
            return None

        def fetch() -> ActiveAlerts:
            asked_at = time.time()
            url = self._layout.url("alertmanager")
            return ActiveAlerts(asked_at, fetch_active_alerts(url, HEALTH_TIMEOUT))

        try:
            return self._cache.get("active alerts", NUMBERS_LIFETIME, fetch)
        except Unreachable:
            return None

    def table(self, panel: Panel) -> dict[str, list[float | None]]:
        """Return a table panel's rows: a number per query, by the value of the panel's key."""
        rows: dict[str, list[float | None]] = {}
        for column, query in enumerate(panel.queries):
            values = self.prometheus.query_by_label(query.expr, panel.key)
            for name, value in values.items():
                if not math.isnan(value):  # the quantile of nothing
                    row = rows.setdefault(name, [None] * len(panel.queries))
                    row[column] = value
        return rows

    def stat(self, panel: Panel) -> Stat:
        """Return the present value of a panel with one query.

        Its look is that of the highest step of the panel that it reaches.
        """
        [query] = panel.bind(__rate_interval="1m").queries
        values = [value for _, value in self.prometheus.query(query.expr)]
        if not values:
            return Stat(panel, None, "")
        looks = [LOOKS[colour] for least, colour in panel.steps if values[0] >= least]
        return Stat(panel, values[0], looks[-1] if looks else "")

    def chart(self, panel: Panel, seconds: int) -> str:
        """Return the SVG of a panel over the last `seconds`."""

        def draw() -> str:
            now = time.time()
            return svg(panel, self.prometheus, now - seconds, now, self._colours)

        return self._cache.get(f"chart {seconds} {panel}", CHART_LIFETIME, draw)


def jobs_panel(plan: Plan) -> Panel:
    """Return the table of jobs, with a column for each of the service's own counters by job."""
    own_counters = [
        Query(fill(TOTAL_BY_JOB, counter=name), plan.metrics[name].panel.title.lower())
        for name in plan.counters_by_job
    ]
    return table(
        "Jobs",
        "How long ago each job last succeeded, and what it has done since its counters began.",
        Unit.NUMBER,
        Query(AGE, "last success", Unit.SECONDS),
        *own_counters,
        Query(FAILED, "failed runs"),
        key=names.JOB,
    )
