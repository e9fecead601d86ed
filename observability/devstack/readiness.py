"""What "up" means, for both stacks: waits, their order, and the addresses that answer."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from observability.devstack.layout import COMPOSE, StackLayout
from observability.devstack.processes import announce
from observability.lib.console import fetch_delivered_alerts
from observability.lib.http import Unreachable, poll, tls_context
from observability.lib.loki import Loki
from observability.lib.prometheus import Prometheus
from observability.lib.promql import selector
from observability.spec import names
from observability.spec.plan import Plan

READY_SECONDS = 120


TEST_ALERT = "PipelineTest"


Tell = Callable[[str], None]


class Refused(Exception):
    """The stack cannot come up; the message says what is wrong and what mends it."""


@dataclass(frozen=True)
class Wait:
    """Something that must become true, and what to look at when it does not."""

    label: str
    true: Callable[[], bool]
    look_at: str


class Steps:
    """Prints each step when it begins and how long it took; `tell` adds a line in between."""

    def __init__(self, say: Tell):
        self._say = say

    @contextmanager
    def __call__(self, label: str) -> Iterator[Tell]:
        started = time.monotonic()
        yield lambda text: self._say(f"    {text}")
        self._say(f"  [green]✓[/green] {label} [dim]{time.monotonic() - started:.1f} s[/dim]")


def ready(layout: StackLayout) -> Wait:
    return Wait(
        "the API answers and is migrated",
        lambda: answers(layout.url("api") + "/health/ready", 2),
        "make logs P=api",
    )


def watching(
    layout: StackLayout, plan: Plan, complete: Callable[[list[dict[str, Any]]], bool]
) -> list[Wait]:
    """That what watches works, from scrape to delivery; `complete` tells whether these targets are all."""
    prometheus = Prometheus(layout.url("prometheus"))
    mark = f"{TEST_ALERT}-{time.time():.0f}"
    sent: list[str] = []

    def targets_up() -> bool:
        found = prometheus.targets()
        return complete(found) and {target["health"] for target in found} == {"up"}

    def measured() -> bool:
        groups = prometheus.rule_groups()
        soon = {
            rule["health"]
            for group in groups
            for rule in group["rules"]
            if group["interval"] <= plan.clock.evaluate
        }
        later = {
            rule["health"] for group in groups for rule in group["rules"]
        }  # slow groups take their first turn later
        series = prometheus.query_by_label(f"{names.BAD} or {names.FRESH}", names.SLO)
        return soon == {"ok"} and "err" not in later and len(series) == len(plan.slos)

    def delivered() -> bool:
        if not sent:
            send_test_alert(layout, plan, mark)
            sent.append(mark)
        return any(
            alert["labels"].get(names.SLO) == mark
            for alert in fetch_delivered_alerts(layout.url("console"))
        )

    return [
        Wait(
            "a test alert reached the inbox",
            delivered,
            "make logs P=alertmanager, and make logs P=console",
        ),
        Wait("every target is scraped", targets_up, "make logs P=prometheus"),
        Wait(
            "every rule is evaluated, every SLO measured",
            measured,
            "make logs P=prometheus, and make check",
        ),
    ]


def log_waits(layout: StackLayout, plan: Plan, since: float) -> list[Wait]:
    """Where logs are kept: a line that was written after the start has gone all the way."""
    loki, stream = (
        Loki(layout.url("loki")),
        selector("", **{names.LOG_SERVICE: plan.service, names.LOG_PROGRAM: "api"}),
    )
    look_at = "make logs P=loki, and make logs P=fluent-bit"
    return [
        Wait(
            "log lines arrive in Loki",
            lambda: bool(loki.query_lines(stream, since, limit=1)),
            look_at,
        )
    ]


def send_test_alert(layout: StackLayout, plan: Plan, mark: str) -> None:
    """An alert of its own group (the mark stands where groups have their SLO), so that it waits for no earlier one."""
    labels = {
        "alertname": TEST_ALERT,
        names.SLO: mark,
        names.SEVERITY: plan.heartbeat_severity,
        names.OWNER: plan.owner,
    }
    now = datetime.now(UTC)
    span = {"startsAt": now.isoformat(), "endsAt": (now + timedelta(minutes=1)).isoformat()}
    alert = {
        "labels": labels,
        "annotations": {"summary": "Sent by `make up`, to see that alerts are delivered"},
        **span,
    }
    httpx.post(
        f"{layout.url('alertmanager')}/api/v2/alerts", json=[alert], timeout=5
    ).raise_for_status()


def settle(
    layout: StackLayout,
    before: list[Wait],
    after: list[Wait],
    dead: Callable[[], list[str]],
    step: "Steps",
) -> None:
    """Waits for what must work first, lets Prometheus know, and waits for what must follow; raises Refused."""
    for wait in before:
        with step(wait.label):
            until(wait, dead)
    announce(layout)
    for wait in after:
        with step(wait.label):
            until(wait, dead)


def until(wait: Wait, dead: Callable[[], list[str]]) -> None:
    """Polls until the wait is over; Refused with the log to read when it takes too long or a process gave up."""
    last = "it stayed false"
    for _ in poll(READY_SECONDS, 0.2):
        try:
            if wait.true():
                return
        except (Unreachable, httpx.HTTPError) as error:
            last = str(error)
        if gone := dead():
            raise Refused(f"{', '.join(gone)} does not stay up; read: make logs P={gone[0]}")
    raise Refused(
        f"waited {READY_SECONDS} s in vain until {wait.label} ({last}); read: {wait.look_at}"
    )


def addresses(layout: StackLayout, patience: float = 5.0) -> list[tuple[str, str]]:
    """What there is to look at and answers within `patience` seconds; nothing that would be a blank page."""
    pages = [
        ("Console", "console", ""),
        ("API", "api", "/docs"),
        ("Metrics of the API", "metrics", "/metrics"),
        (
            "Prometheus",
            "prometheus",
            "/alerts" if has_ui(layout.url("prometheus")) else "/api/v1/rules",
        ),
        (
            "Alertmanager",
            "alertmanager",
            "/" if has_ui(layout.url("alertmanager")) else "/api/v2/alerts",
        ),
        ("Labels of the logs in Loki", "loki", "/loki/api/v1/labels"),
    ]
    if layout.mode == COMPOSE:
        pages += [
            ("Grafana", "grafana", ""),
            ("Traces", "jaeger", ""),
            ("Mailbox", "mailpit", ""),
            ("Load runs", "locust", ""),
        ]
    return [
        (label, layout.address(name) + path)
        for label, name, path in pages
        if answers(layout.url(name) + path, patience)
    ]


def answers(url: str, seconds: float) -> bool:
    try:
        return httpx.get(
            url, timeout=seconds, follow_redirects=True, verify=tls_context()
        ).is_success
    except httpx.HTTPError:
        return False


def has_ui(url: str) -> bool:
    """Whether the server's own page has the scripts that it asks for; the distribution packs some without."""
    try:
        page = httpx.get(url, follow_redirects=True, timeout=2, verify=tls_context())
        sources = [part.split('"')[0] for part in page.text.split('src="')[1:]]
        found = [
            httpx.get(page.url.join(source), timeout=2, verify=tls_context()) for source in sources
        ]
    except httpx.HTTPError:
        return False
    return bool(found) and all(script.is_success for script in found)
