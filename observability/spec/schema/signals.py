"""The part of catalogue.yaml that says which metrics count requests."""

from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from observability.spec.presets import EVARA, PRESETS
from observability.spec.schema.entry import Entry
from observability.spec.schema.fields import AnyLabel, LabelValue, SeriesName, SourceLabel
from observability.spec.signals import Signal, Signals

SpellingName = Literal["openapi", "flask", "starlette", "express", "any"]
Seconds = Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]
HISTOGRAM_SUFFIXES = ("_bucket", "_count", "_sum")


class DetailsEntry(Entry):
    """Keys of one signal; those beside a preset are about each of its signals."""

    selector: dict[AnyLabel, LabelValue] = {}
    spelling: SpellingName | None = None
    buckets: tuple[Seconds, ...] = ()

    def details(self) -> dict[str, Any]:
        """Return what is given."""
        given = {
            "selector": tuple(self.selector.items()),
            "spelling": self.spelling,
            "buckets": self.buckets,
        }
        return {key: value for key, value in given.items() if value}


class SignalEntry(DetailsEntry):
    """A metric, and the labels that say what each request was."""

    metric: SeriesName
    path: SourceLabel
    method: SourceLabel | None = None
    status: SourceLabel | None = None
    status_class: SourceLabel | None = None

    @model_validator(mode="after")
    def require_different_labels(self) -> Self:
        """Raise ValueError for a label with two meanings, and for two labels of the status."""
        if self.status and self.status_class:
            raise ValueError(
                "has both status and status_class; keep status for codes (503), "
                "or status_class for classes (5xx)"
            )
        labels = [*filter(None, (self.path, self.method, self.status, self.status_class))]
        for label in labels:
            if labels.count(label) > 1 or label in self.selector:
                raise ValueError(f"gives the label {label!r} two meanings; correct one of them")
        return self

    def signal(self, common: dict[str, Any]) -> Signal:
        """Return the signal; `common` are the details that all signals have."""
        return Signal(
            self.metric,
            method=self.method or "",
            path=self.path,
            status=self.status or self.status_class or "",
            has_classes=self.status_class is not None,
            **common | self.details(),
        )


class SignalsEntry(DetailsEntry):
    """A preset, or the metrics themselves."""

    preset: Literal["evara", "flask-exporter", "fastapi-instrumentator", "otel-http"] | None = None
    total: SignalEntry | None = None
    bad: SignalEntry | None = None
    latency: SignalEntry | None = None
    concrete_paths: bool = False

    @model_validator(mode="after")
    def require_total_and_errors(self) -> Self:
        """Raise ValueError unless requests and failed ones are told, by one metric each."""
        preset = PRESETS.get(self.preset or "")
        if preset is EVARA and self.model_fields_set != {"preset"}:
            raise ValueError("has the preset evara and more; remove the rest, or the preset")
        if not (preset or self.total):
            raise ValueError("says nothing about requests; add `preset`, or `total`")
        total = self.signals.total
        if self.bad and total.status:
            raise ValueError(
                f"tells failed requests twice, by `bad` and by the label {total.status!r} "
                "of `total`; remove one of the two"
            )
        if not (self.bad or total.status):
            raise ValueError("tells no failed requests; add `bad`, or `status` to `total`")
        if self.latency and self.latency.metric.endswith(HISTOGRAM_SUFFIXES):
            raise ValueError(
                f"{self.latency.metric} is a part of a histogram; write its name without suffix"
            )
        return self

    @property
    def signals(self) -> Signals:
        """Return the signals, those of the preset unless they are given."""
        common = self.details()
        preset = PRESETS.get(self.preset or "")
        if preset is EVARA:
            return EVARA
        total = self.total.signal(common) if self.total else None
        latency = self.latency.signal(common) if self.latency else None
        if preset:
            total = total or replace(preset.total, **common)
            latency = latency or (preset.latency and replace(preset.latency, **common))
        if total is None:
            raise ValueError("`total` is missing")
        return Signals(
            total,
            bad=self.bad.signal(common) if self.bad else None,
            latency=latency,
            codes=total if total.status and not total.has_classes else None,
            concrete_paths=self.concrete_paths,
        )


def expand_preset(value: Any) -> Any:
    """Return `{"preset": "evara"}` for the short form `evara`, other values unchanged."""
    return {"preset": value} if isinstance(value, str) else value


SignalsField = Annotated[SignalsEntry, BeforeValidator(expand_preset)]
