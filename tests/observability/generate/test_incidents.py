"""One incident is one page: what a real Alertmanager delivers with the generated configuration."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from observability.generate import alertmanager, prometheus
from observability.spec import names
from observability.spec.plan import Plan
from observability.spec.schema.policy import IntegrationEntry
from tests.alertmanager_server import AlertmanagerServer, running_alertmanager
from tests.receiver import Receiver, receiving
from tests.waiting import until

Labels = dict[str, str]
PAGE = {names.SEVERITY: "page", names.OWNER: "platform"}
TICKET = PAGE | {names.SEVERITY: "ticket"}


def burn(subject: str, sli: str = "availability", **labels: str) -> Labels:
    """Return the labels of a burn-rate alert."""
    slo = {names.SLO: f"{subject}-{sli}", names.SUBJECT: subject, names.SLI: sli}
    return {names.ALERT_NAME: names.BURN_ALERT, **PAGE, **slo, names.TIER: "T0", **labels}


DATABASE_DOWN = {names.ALERT_NAME: "DatabaseDown", names.SUBJECT: "database", **PAGE}
DATABASE_BURN = burn("database", tier="D0")
ROUTES = (
    burn("orders.list"),
    burn("orders.get"),
    burn("parcels.ingest"),
    burn("orders.list", "probe", tier="P0"),
    burn("health.ready", "probe", tier="P0"),
    burn("thingspeak.sync", "freshness", tier="T1"),
    burn("gateway", owner="upstream"),
)
TARGET_DOWN = {names.ALERT_NAME: "TargetDown", **PAGE}


@dataclass
class Delivery:
    """A real Alertmanager whose every receiver is one webhook."""

    server: AlertmanagerServer
    receiver: Receiver
    sentinels: list[Labels] = field(default_factory=list)

    def fire(self, *alerts: Labels) -> None:
        """Report alerts."""
        self.server.fire(*alerts)

    def resolve(self, *alerts: Labels) -> None:
        """Report the end of alerts."""
        self.server.resolve(*alerts)

    def settle(self) -> None:
        """Return when everything that was reported before has been delivered, or never will be.

        A page of its own is reported afterwards, so its group is notified later than theirs, at
        its start and at its end.
        """
        sentinel = {names.ALERT_NAME: "Sentinel", "number": str(len(self.sentinels)), **PAGE}
        self.sentinels.append(sentinel)
        for report, status in ((self.fire, "firing"), (self.resolve, "resolved")):
            report(sentinel)
            until(lambda status=status: (sentinel, status) in self._all())

    def delivered(self) -> list[str]:
        """Return the alerts that were delivered as firing, each as its name and SLO."""
        self.settle()
        return [
            f"{labels[names.ALERT_NAME]} {labels.get(names.SLO, '')}".strip()
            for labels, status in self._all()
            if status == "firing" and labels not in self.sentinels
        ]

    def _all(self) -> list[tuple[Labels, str]]:
        """Return labels and status of each alert of each notification, in order."""
        return [
            (alert["labels"], alert["status"])
            for sent in list(self.receiver.sent)
            for alert in sent.json["alerts"]
        ]


@pytest.fixture
def delivery(fast: Plan, tmp_path: Path) -> Iterator[Delivery]:
    """Run Alertmanager with the routes and inhibitions of the plan on the drill's clock."""
    with receiving() as receiver:
        webhook = {"inbox": IntegrationEntry(webhook=receiver.url)}
        policy = fast.policy.model_copy(update={"integrations": webhook})
        config = alertmanager.render(replace(fast, policy=policy))[alertmanager.CONFIG]
        with running_alertmanager(config, tmp_path) as server:
            yield Delivery(server, receiver)


@pytest.mark.parametrize("order", ["dependency first", "routes first"])
@pytest.mark.parametrize("alerts", [(DATABASE_DOWN, DATABASE_BURN), (DATABASE_BURN,)])
def test_a_failing_dependency_is_one_page(
    alerts: tuple[Labels, ...], order: str, delivery: Delivery
) -> None:
    """The pages of the routes, the probes, the job and the gateway that need it are not sent."""
    if order == "dependency first":
        delivery.fire(*alerts)
        delivery.fire(*ROUTES)
    else:
        delivery.fire(*ROUTES)
        delivery.fire(*alerts)
    names_delivered = delivery.delivered()
    assert len(names_delivered) == 1, names_delivered
    assert names_delivered[0] in ("DatabaseDown", "ErrorBudgetBurn database-availability")


def test_a_route_that_fails_for_another_reason_pages_when_the_dependency_is_well(
    delivery: Delivery,
) -> None:
    """It is silent during the incident only; the routes that recover with it never page."""
    delivery.fire(DATABASE_DOWN, *ROUTES)
    assert delivery.delivered() == ["DatabaseDown"]
    delivery.resolve(*ROUTES[1:])
    delivery.resolve(DATABASE_DOWN)
    assert delivery.delivered() == ["DatabaseDown", "ErrorBudgetBurn orders.list-availability"]


def test_a_dependency_silences_nothing_that_does_not_need_it(delivery: Delivery) -> None:
    """Neither routes of other dependencies, nor other alerts, nor a dependency's own."""
    others = [
        burn("parcels.live"),
        burn("thingspeak", owner="upstream"),
        TARGET_DOWN,
        {names.ALERT_NAME: "UnhandledException", names.ROUTE: "orders.list", **TICKET},
    ]
    delivery.fire(DATABASE_DOWN, *others[:1], *others[2:])
    delivered = ["DatabaseDown", "ErrorBudgetBurn parcels.live-availability"]
    delivered += ["TargetDown", "UnhandledException"]
    assert sorted(delivery.delivered()) == sorted(delivered)
    delivery.fire(others[1])
    delivered.append("ErrorBudgetBurn thingspeak-availability")
    assert sorted(delivery.delivered()) == sorted(delivered)


def test_a_ticket_about_a_dependency_silences_tickets_alone(delivery: Delivery) -> None:
    """A page of a route is sent while the dependency spends its budget slowly."""
    ticket = {names.SEVERITY: "ticket", names.TIER: "T4"}
    delivery.fire(burn("database", **ticket), burn("orders.get", **ticket), burn("orders.list"))
    assert sorted(delivery.delivered()) == [
        "ErrorBudgetBurn database-availability",
        "ErrorBudgetBurn orders.list-availability",
    ]


def test_a_page_about_a_dependency_silences_tickets_of_what_needs_it(delivery: Delivery) -> None:
    """Among them alerts on log lines that declare what they need."""
    lines = {names.ALERT_NAME: "LogErrorBurst", names.LOG_PROGRAM: "api", **TICKET}
    delivery.fire(DATABASE_DOWN, burn("orders.get", severity="ticket", tier="T4"), lines)
    assert delivery.delivered() == ["DatabaseDown"]


def test_a_subject_that_fails_does_not_page_for_being_slow(delivery: Delivery) -> None:
    """Failed calls are slow ones, too; another subject's slowness is sent."""
    slow = "latency-1s"
    delivery.fire(
        burn("orders.get"),
        burn("orders.get", "latency", slo=f"orders.get-{slow}"),
        burn("orders.list", "latency", slo=f"orders.list-{slow}"),
    )
    assert sorted(delivery.delivered()) == [
        "ErrorBudgetBurn orders.get-availability",
        f"ErrorBudgetBurn orders.list-{slow}",
    ]


def test_the_text_lists_what_needs_the_dependency(plan: Plan) -> None:
    """Alerts about the database name every route, job and the gateway that needs it."""
    rules = [rule for group in prometheus.groups(plan) for rule in group["rules"]]
    descriptions = [
        rule["annotations"]["description"]
        for rule in rules
        if rule.get("alert") in ("DatabaseDown", names.BURN_ALERT)
    ]
    assert len(descriptions) == 1 + len(plan.tiers)
    dependents = {labels[names.SUBJECT] for labels in ROUTES}
    for text in descriptions:
        _, _, listed = text.partition("Needed by ")
        assert dependents <= set(listed.partition(":")[0].split(", ")), text


def test_a_database_that_hangs_is_one_page(delivery: Delivery) -> None:
    """Its exporter, which hangs with it, does not page; another target does."""
    exporter = TARGET_DOWN | {names.SCRAPE_JOB: "postgres"}
    delivery.fire(DATABASE_BURN, exporter, TARGET_DOWN | {names.SCRAPE_JOB: "gateway"})
    assert sorted(delivery.delivered()) == ["ErrorBudgetBurn database-availability", "TargetDown"]


@pytest.mark.parametrize(("job", "program"), [("api", "metrics"), ("alertmanager", "alertmanager")])
def test_a_program_of_the_native_stack_that_prometheus_scrapes_is_one_page(
    job: str, program: str, delivery: Delivery
) -> None:
    """supervisord's count of it is not sent; that of another program is."""
    missing = {names.ALERT_NAME: names.PROGRAM_ALERT, **PAGE}
    delivery.fire(TARGET_DOWN | {names.SCRAPE_JOB: job}, missing | {names.LOG_PROGRAM: program})
    assert delivery.delivered() == ["TargetDown"]
    delivery.fire(missing | {names.LOG_PROGRAM: "worker"})
    assert delivery.delivered()[1:] == [names.PROGRAM_ALERT]


def test_a_target_that_is_down_silences_only_the_slos_that_it_measures(delivery: Delivery) -> None:
    """SLOs of the prober and of the gateway are still said to be unmeasured."""
    unmeasured = {names.ALERT_NAME: names.UNMEASURED_ALERT, **TICKET}
    delivery.fire(
        TARGET_DOWN | {names.SCRAPE_JOB: "api"},
        unmeasured | {names.SLO: "orders.list-availability", names.SCRAPE_JOB: "api"},
        unmeasured | {names.SLO: "orders.list-probe", names.SCRAPE_JOB: "prober"},
        unmeasured | {names.SLO: "gateway-availability", names.SCRAPE_JOB: "gateway"},
    )
    assert sorted(delivery.delivered()) == [
        "SLOUnmeasured gateway-availability",
        "SLOUnmeasured orders.list-probe",
        "TargetDown",
    ]
