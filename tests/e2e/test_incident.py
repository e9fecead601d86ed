"""A database outage on a whole stack is one page: what reaches the inbox, on the drill's clock."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from observability.devstack import programs
from observability.drill.alerts import identify
from observability.drill.runner import wait_until_calm
from observability.drill.sandbox import Sandbox
from observability.drill.traffic import Traffic
from observability.lib.alerts import fetch_active_alerts, fetch_delivered_alerts
from observability.lib.json_object import Json
from observability.lib.prometheus import Prometheus, ServicePrometheus
from observability.spec import names
from observability.spec.drill_clock import accelerate
from observability.spec.drill_route import DrillRoute
from observability.spec.gateway import without_gateway
from observability.spec.loading import load_plan
from observability.spec.plan import PROBE, PROBE_SOURCE
from tests.postgres_server import PostgresServer
from tests.waiting import until

# Slower than drills: the seconds between two alerts are not lost in those of a busy machine.
SPEED = 8
RATE = 10.0  # requests per second
STEP_SECONDS = 200  # 50 on a machine that does nothing else
POLICY = load_plan().policy
SLOWER = POLICY.model_copy(update={"drill": POLICY.drill.model_copy(update={"speed": SPEED})})
PLAN = accelerate(replace(without_gateway(load_plan()), policy=SLOWER))
FIRST_WINDOW = next(tier.conditions[0].window for tier in PLAN.tiers if tier.name == "T0")
DATABASE = "database"
DATABASE_PAGE = (names.BURN_ALERT, "database-availability")


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """Yield a running PostgreSQL with an empty database."""
    with PostgresServer("fsync=off") as server:
        server.execute("CREATE DATABASE evara")
        yield server


@pytest.fixture
def sandbox(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Yield a stack whose API stores its data in the PostgreSQL."""
    native: Json = programs.read_native_yaml()
    native["drill_environment"]["EVARA_DATABASE_URL"] = postgres.url("evara")
    monkeypatch.setattr(programs, "read_native_yaml", lambda: native)
    with Sandbox(PLAN) as sandbox:
        yield sandbox


def drill_route() -> DrillRoute:
    """Return the route that the traffic asks for."""
    assert PLAN.drill_route
    return PLAN.drill_route


def dependents() -> set[str]:
    """Return the SLOs that an outage of the database breaks while only one route has traffic."""
    probes = (slo.name for slo in PLAN.slos_of(PROBE_SOURCE, PROBE))
    return {f"{drill_route().id}-availability", *probes}


def has_calls_in_a_whole_window(prometheus: Prometheus) -> bool:
    """Return whether the route was called during all of the window of its first page.

    Without good calls in it, the first failures are all that the page sees.
    """
    slo = f"{drill_route().id}-availability"
    calls = f'{names.total_rate(FIRST_WINDOW.name)}{{{names.SLO}="{slo}"}}'
    return bool(prometheus.query(f"{calls} offset {FIRST_WINDOW.text} > 0"))


def list_pages(sandbox: Sandbox, since: float) -> list[Json]:
    """Return the pages that the inbox received and that began to fire after a Unix time."""
    alerts = fetch_delivered_alerts(sandbox.layout.url("console"))
    return [
        alert
        for alert in alerts
        if alert["labels"][names.SEVERITY] == PLAN.paging_severity and alert["started"] >= since
    ]


def firing_pages(prometheus: Prometheus) -> set[str]:
    """Return the SLOs of the pages that fire in Prometheus, delivered or not."""
    return {
        alert["labels"].get(names.SLO, "")
        for alert in prometheus.alerts()
        if alert["state"] == "firing" and alert["labels"][names.SEVERITY] == PLAN.paging_severity
    }


def holds_no_page(sandbox: Sandbox) -> bool:
    """Return whether Alertmanager has no page any more, not even one that it did not send."""
    alerts = fetch_active_alerts(sandbox.layout.url("alertmanager"))
    return not any(alert["labels"][names.SEVERITY] == PLAN.paging_severity for alert in alerts)


def listed_dependents(page: Json) -> set[str]:
    """Return the routes, jobs and the gateway that an alert's text lists."""
    _, _, listed = page["annotations"]["description"].partition("Needed by ")
    return set(listed.partition(":")[0].split(", "))


def break_database(sandbox: Sandbox, postgres: PostgresServer) -> list[Json]:
    """Stop the database until all that needs it would page; return what was paged meanwhile.

    It is looked at when everything has recovered and Alertmanager has no page left to send.
    """
    prometheus = Prometheus(sandbox.layout.url("prometheus"))
    since = prometheus.now()
    postgres.stop()
    until(lambda: dependents() <= firing_pages(prometheus), STEP_SECONDS, "the pages of all")
    postgres.start()
    until(lambda: not firing_pages(prometheus), STEP_SECONDS, "the end of all pages")
    until(lambda: holds_no_page(sandbox), STEP_SECONDS, "no page")
    return list_pages(sandbox, since)


def test_an_outage_of_the_database_is_one_page(sandbox: Sandbox, postgres: PostgresServer) -> None:
    """The SLO of the database pages and lists what needs it; none of these pages, then or later."""
    url = sandbox.layout.url("api") + drill_route().path
    with Traffic(url, RATE, sandbox.layout.key("load")):
        prometheus = ServicePrometheus(sandbox.layout.url("prometheus"), PLAN)
        wait_until_calm(prometheus)
        until(
            lambda: has_calls_in_a_whole_window(prometheus), STEP_SECONDS, "a window full of calls"
        )
        pages = break_database(sandbox, postgres)
    assert {identify(page["labels"]) for page in pages} == {DATABASE_PAGE}, pages
    for page in pages:
        assert set(PLAN.dependents(DATABASE)) <= listed_dependents(page)
