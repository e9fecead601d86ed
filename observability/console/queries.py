"""What the pages show, asked once for all readers; it imports boards, runbook, clients, stack, live and charts."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from dogpile.cache import make_region

from observability.console.notification_store import seconds
from observability.devstack.addresses import find_addresses
from observability.devstack.layout import StackLayout
from observability.generate.dashboards.colours import series_colours
from observability.generate.dashboards.registry import boards
from observability.generate.runbook import entries
from observability.lib.alertmanager import fetch_active_alerts
from observability.lib.charts import svg
from observability.lib.http import Unreachable, responds
from observability.lib.panels import BAD, GOOD, METRICS, WARN, Kind, Panel, Query, Unit
from observability.lib.prometheus import Prometheus
from observability.slo.verdicts import Row, Verdict, measure
from observability.spec import names
from observability.spec.plan import Plan

# seconds until a server counts as silent: for a question, and for being there at all
PATIENCE = 5.0
GLANCE = 1.0
# seconds for which an answer is good
NUMBERS = 5.0
PICTURES = 15.0
LINKS = 30.0
BUSY = 20  # an answer that was slow is good for so many times longer, so that readers cost at most 5 % of a Prometheus
SPANS = {"15m": 900, "1h": 3600, "6h": 21_600, "1d": 86_400, "7d": 604_800}
LOOKS = {GOOD: "good", WARN: "warn", BAD: "bad"}
URGENCY = (Verdict.MISSED, Verdict.UNMEASURED)  # stand first
T = TypeVar("T")
Labels = frozenset[tuple[str, str]]

JOBS = Panel(
    "Last syncs", "How long ago each job last succeeded, and what it has done since its counters began.", Kind.TABLE, Unit.NUMBER,
    (
        Query(f"time() - max by ({names.JOB}) ({names.JOB_LAST_SUCCESS})", "last success", Unit.SECONDS),
        Query(f"sum by ({names.JOB}) ({names.JOB_STORED}_total)", "readings stored"),
        Query(f'sum by ({names.JOB}) ({names.JOB_RUNS}_total{{{names.OUTCOME}="error"}})', "failed runs"),
    ),
    key=names.JOB,
)  # fmt: skip


@dataclass(frozen=True)
class Stat:
    """One number with its panel; `look` is good, warn, bad or nothing."""

    panel: Panel
    value: float | None
    look: str


@dataclass(frozen=True)
class Held:
    """What Alertmanager had not seen end when it was asked, Unix seconds."""

    at: float
    alerts: list[dict[str, Any]]


class Answers:
    """Questions to one stack. Whoever asks while an answer is being fetched, or soon after, gets the same one."""

    def __init__(self, layout: StackLayout, plan: Plan):
        self.layout, self.plan = layout, plan
        self.boards = {board.slug: board for board in boards(plan)}
        self.runbook = entries.entries(plan)
        self._colours = series_colours(plan)
        self._prometheus = Prometheus(layout.url("prometheus"), PATIENCE)
        self._region = make_region().configure("dogpile.cache.memory")
        self._took: dict[str, float] = {}

    def once(self, key: str, good_for: float, ask: Callable[[], T]) -> T:
        """The answer, at most so many seconds old; that nobody answers is an answer, too. Raises Unreachable."""

        def timed() -> T | Unreachable:
            started, self._took[key] = time.monotonic(), 0.0
            try:
                found = ask()
            except Unreachable as error:
                return error
            self._took[key] = time.monotonic() - started
            return found

        found: T | Unreachable = self._region.get_or_create(
            key, timed, max(good_for, BUSY * self._took.get(key, 0.0))
        )
        if isinstance(found, Unreachable):
            raise Unreachable(str(found))
        return found

    def alive(self) -> None:
        """Raises Unreachable when Prometheus is: asked first, so that a page waits for one short silence at most."""
        if not self.once(
            "alive", NUMBERS, lambda: responds(self._prometheus.url + "/-/ready", GLANCE)
        ):
            raise Unreachable(f"{self._prometheus.url} is not ready within {GLANCE:.0f} s")

    def delivers(self) -> bool:
        """Whether Alertmanager answers."""
        return self.once(
            "alertmanager",
            NUMBERS,
            lambda: responds(self.layout.url("alertmanager") + "/-/ready", GLANCE),
        )

    def links(self) -> list[tuple[str, str]]:
        """Every other address of the stack that answers; the console's own stands first."""
        return self.once(
            "links",
            LINKS,
            lambda: [
                row
                for row in find_addresses(self.layout, GLANCE)
                if row[1] != self.layout.address("console")
            ],
        )

    def slos(self) -> list[Row]:
        """As `slo` judges them; those that need somebody stand first."""
        rows = self.once(
            "slos", NUMBERS, lambda: measure(self.plan, self._prometheus, self.plan.period)
        )
        return sorted(
            rows,
            key=lambda row: URGENCY.index(row.verdict) if row.verdict in URGENCY else len(URGENCY),
        )

    def alerts(self) -> list[dict[str, Any]]:
        """What is firing or pending, pages first, tiers of one burn as one; heartbeats, which always fire, are left out.

        What somebody sent straight to Alertmanager fires, too, unless it is silenced or inhibited.
        """
        order = list(self.plan.policy.severities)
        found: dict[tuple[Any, ...], dict[str, Any]] = {}
        for alert in self._rules() + self.sent():
            labels = alert["labels"]
            severity = labels.get(names.SEVERITY)
            if severity != self.plan.heartbeat_severity:
                one = tuple(
                    sorted((key, value) for key, value in labels.items() if key != names.TIER)
                )
                rank = order.index(severity) if severity in order else len(order)
                entry = found.setdefault(
                    (alert["state"], rank, one), alert | {"since": math.inf, "tiers": set()}
                )
                entry["since"] = min(entry["since"], seconds(alert["activeAt"]) or math.inf)
                entry["tiers"] |= {labels[names.TIER]} if names.TIER in labels else set()
        return [alert for _, alert in sorted(found.items(), key=lambda item: item[0])]

    def _rules(self) -> list[dict[str, Any]]:
        """What the rules of Prometheus, and of Loki where it runs, say."""
        return self.once("alerts", NUMBERS, self._prometheus.alerts) + (self._log_alerts() or [])

    def reads_logs(self) -> bool:
        """Whether Loki answers, which evaluates the alerts about log lines."""
        return self._log_alerts() is not None

    def _log_alerts(self) -> list[dict[str, Any]] | None:
        """Loki tells of its alerts as Prometheus does, and need not be there."""
        try:
            return self.once(
                "log alerts",
                NUMBERS,
                Prometheus(self.layout.url("loki") + "/prometheus", GLANCE).alerts,
            )
        except Unreachable:
            return None

    def _held(self) -> Held | None:
        """What Alertmanager holds, or nothing while it does not answer."""

        def ask() -> Held:
            return Held(time.time(), fetch_active_alerts(self.layout.url("alertmanager"), GLANCE))

        try:
            return self.once("held", NUMBERS, ask) if self.delivers() else None
        except Unreachable:
            return None

    def sent(self) -> list[dict[str, Any]]:
        """What Alertmanager calls for, whoever sent it, in the form in which Prometheus tells of its alerts."""
        held = self._held()
        loud = (
            [alert for alert in held.alerts if alert["status"]["state"] != "suppressed"]
            if held
            else []
        )
        return [alert | {"state": "firing", "activeAt": alert["startsAt"]} for alert in loud]

    def judged(self, delivered: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Entries of the inbox, and whether they have `ended` though no resolution came: nobody holds them any more."""
        held = self._held()
        if held is None:
            return [entry | {"ended": False} for entry in delivered]
        try:
            self.alive()  # an Alertmanager that has just started hears only within a minute of what fires
            since: dict[Labels, float | None] = {
                same(alert): None for alert in self._rules() if alert["state"] == "firing"
            }
        except Unreachable:
            since = {}
        since |= {same(alert): seconds(alert["startsAt"]) for alert in held.alerts}

        def over(entry: dict[str, Any]) -> bool:
            now, then = since.get(same(entry), math.inf), entry["started"]
            return (
                now is not None and then is not None and abs(now - then) >= 1
            )  # Alertmanager rounds to milliseconds here alone

        return [
            e | {"ended": e["delivered"] < held.at and e["resolved"] is None and over(e)}
            for e in delivered
        ]

    def table(self, panel: Panel) -> dict[str, list[float | None]]:
        """A panel's rows: the value of its key → a number per query."""

        def ask() -> dict[str, list[float | None]]:
            rows: dict[str, list[float | None]] = {}
            for column, query in enumerate(panel.queries):
                for name, value in self._prometheus.query_by_label(query.expr, panel.key).items():
                    if not math.isnan(value):  # as quantiles of nothing are
                        rows.setdefault(name, [None] * len(panel.queries))[column] = value
            return rows

        return self.once(f"table {panel}", NUMBERS, ask)

    def stat(self, panel: Panel) -> Stat:
        [query] = panel.bind(__rate_interval="1m").queries
        return self.look(panel, next((value for _, value in self.query(query.expr)), None))

    def look(self, panel: Panel, value: float | None) -> Stat:
        """A value as the panel's steps judge it."""
        passed = [colour for least, colour in panel.steps if value is not None and value >= least]
        return Stat(panel, value, LOOKS[passed[-1]] if passed else "")

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        return self.once(f"query {expr}", NUMBERS, lambda: self._prometheus.query(expr))

    def picture(self, panel: Panel, span: str, width: int, *, dark: bool) -> str:
        """The panel over the last `span`, as SVG."""

        def ask() -> str:
            now = time.time()
            return svg(
                panel,
                self._prometheus,
                now - SPANS[span],
                now,
                dark=dark,
                width=width,
                colours=self._colours,
            )

        return self.once(f"picture {span} {width} {dark} {panel}", PICTURES, ask)


def same(alert: dict[str, Any]) -> Labels:
    """What makes two alerts the same one."""
    return frozenset(alert["labels"].items())


def drawn(panel: Panel) -> bool:
    """Whether a panel is a picture that can be drawn here."""
    return panel.source == METRICS and panel.kind in (Kind.LINES, Kind.HEATMAP)
