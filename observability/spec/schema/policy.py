"""Models of policy.yaml: how alerts are decided and delivered."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from observability.spec.schema.entry import AlertEntry, Entry
from observability.spec.schema.fields import (
    DurationField,
    OwnerName,
    PositiveDuration,
    SeverityName,
    TierName,
)


class WindowEntry(Entry):
    """A window of a burn-rate alert and its threshold: a multiple of the budget, or a ratio."""

    one_of = ("factor", "ratio")
    over: PositiveDuration
    factor: Annotated[Decimal, Field(gt=0)] | None = None
    ratio: Annotated[Decimal, Field(gt=0, lt=1)] | None = None


class FailedEntry(Entry):
    """The number of bad events below which a burn-rate alert stays silent."""

    over: PositiveDuration
    events: Annotated[Decimal, Field(gt=0)]


SliKind = Literal["availability", "latency", "freshness", "probe", "ratio", "gauge"]


# What the events of an SLO are events of
SourceName = Literal["http", "dependency", "gateway", "job", "probe", "declared"]


class TierEntry(Entry):
    """A burn-rate alert over all SLOs of the kinds in `slis` and of one `source`.

    By default the SLOs are of every kind, and of every source.
    """

    severity: str
    for_: Annotated[DurationField, Field(alias="for")]
    windows: Annotated[tuple[WindowEntry, ...], Field(min_length=1)]
    failed: FailedEntry
    slis: Annotated[tuple[SliKind, ...], Field(min_length=1)] | None = None
    source: SourceName | None = None


class ClockEntry(Entry):
    """Intervals of scrapes and evaluations, and the longest window of each pace."""

    scrape: PositiveDuration
    evaluate: PositiveDuration
    thin: PositiveDuration
    constants: PositiveDuration
    fine_up_to: PositiveDuration
    thin_up_to: PositiveDuration
    long: PositiveDuration


class LinksEntry(Entry):
    """Addresses that alerts link to, without a slash at their end."""

    console: str
    grafana: str | None = None


class SeverityEntry(Entry):
    """The integrations and timings with which Alertmanager delivers a severity."""

    integrations: tuple[str, ...]
    group_wait: DurationField
    group_interval: PositiveDuration
    repeat_interval: PositiveDuration


class OwnerEntry(Entry):
    """The integrations to which an owner's alerts are restricted."""

    only: tuple[str, ...] | None = None


class IntegrationEntry(Entry):
    """An integration of Alertmanager: a webhook, mail, Slack or PagerDuty."""

    one_of = ("webhook", "webhook_url_file", "email", "slack_url_file", "pagerduty_key_file")
    webhook: str | None = None
    webhook_key_file: str | None = None  # with the bearer token that the webhook requires
    webhook_url_file: str | None = None
    email: str | None = None
    sender: str | None = None
    smarthost: str | None = None
    tls: bool = True
    slack_url_file: str | None = None
    channel: str | None = None
    pagerduty_key_file: str | None = None


class InhibitionEntry(Entry):
    """An Alertmanager inhibition: alerts like `source` silence those like `target`."""

    source: dict[str, str]
    target: dict[str, str]
    equal: tuple[str, ...]


class DrillEntry(Entry):
    """The faster clock of drills, and which drill breaks each kind of SLI."""

    speed: Annotated[int, Field(ge=1)]
    scrape: PositiveDuration
    scrapes_per_window: Annotated[int, Field(ge=2)]  # a rate needs two samples
    by_sli: Annotated[dict[SliKind, str], Field(min_length=1)]


class Policy(Entry):
    """The whole of policy.yaml."""

    clock: ClockEntry
    buckets: tuple[PositiveDuration, ...]
    max_threshold: Annotated[Decimal, Field(gt=0, lt=1)]
    factors_for: PositiveDuration  # the period for which the tiers' factors are written
    tiers: Annotated[dict[TierName, TierEntry], Field(min_length=1)]
    guards: dict[str, AlertEntry]
    severities: Annotated[dict[SeverityName, SeverityEntry], Field(min_length=1)]
    owners: dict[OwnerName, OwnerEntry]
    integrations: dict[str, IntegrationEntry]
    inhibit: tuple[InhibitionEntry, ...]
    links: LinksEntry
    drill: DrillEntry
