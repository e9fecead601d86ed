"""The part of catalogue.yaml that declares SLOs by hand."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, model_validator

from observability.spec.schema.entry import Entry, LatencyEntry, NeedsEntry
from observability.spec.schema.fields import (
    ExcludedCodes,
    Expression,
    Percent,
    RouteIds,
    SampleValue,
    Selector,
    SloName,
)
from observability.spec.schema.subject import SubjectEntry
from observability.spec.selectors import example, is_selector


class RatioEntry(Entry):
    """The counters of all events, and of the bad or the good ones among them."""

    one_of = ("bad", "good")
    bad: Selector | None = None
    good: Selector | None = None
    total: Selector

    @model_validator(mode="after")
    def require_both_kinds(self) -> Self:
        """Raise ValueError unless promtool's cases can have good events and bad ones."""
        part = self.bad or self.good or ""
        try:
            example(part)
            example(self.total, other_than=part)
        except ValueError as error:
            raise ValueError(
                f"has no event in `total` beside those in {part}; select fewer series there, "
                'and write simple alternatives, as in code=~"500|503"'
            ) from error
        return self

    @property
    def measure(self) -> "Measure":
        """Return what is measured, as the Plan has it."""
        form = "bad" if self.bad else "good"
        return Measure(form, self.bad or self.good or "", self.total)


class GaugeCasesEntry(Entry):
    """Series of promtool's cases, and their values: a number, or `now` for a time."""

    good: Annotated[dict[Selector, SampleValue], Field(min_length=1)]
    bad: Annotated[dict[Selector, SampleValue], Field(min_length=1)]


Bound = Annotated[Decimal, Field(allow_inf_nan=False)]


class GaugeEntry(Entry):
    """A value in PromQL, and what is good about it."""

    one_of = ("bool", "value", "good_share", "bad_share")
    bool: Expression | None = None
    value: Expression | None = None
    good_share: Expression | None = None
    bad_share: Expression | None = None
    at_most: Bound | None = None
    at_least: Bound | None = None
    cases: GaugeCasesEntry | None = None

    @model_validator(mode="after")
    def require_bound_and_cases(self) -> Self:
        """Raise ValueError for a wrong number of bounds, and where cases are needed."""
        bounds = [bound for bound in (self.at_most, self.at_least) if bound is not None]
        if self.value and len(bounds) != 1:
            raise ValueError(
                "`value` needs exactly one of at_most and at_least; add the one that is meant"
            )
        if bounds and not self.value:
            raise ValueError("at_most and at_least belong to `value`; remove them, or write it")
        if not self.cases and not is_selector(self.expr):
            raise ValueError(
                "has an expression of which no test series can be made; "
                "add `cases: {good: {SERIES: NUMBER}, bad: {SERIES: NUMBER}}`"
            )
        return self

    @property
    def expr(self) -> str:
        """Return the expression of whichever form is given."""
        return self.bool or self.value or self.good_share or self.bad_share or ""

    @property
    def measure(self) -> "Measure":
        """Return what is measured, as the Plan has it."""
        keys = ("bool", "at_most", "at_least", "good_share", "bad_share")
        form = next(key for key in keys if getattr(self, key) is not None)
        bound = self.at_least if self.at_most is None else self.at_most
        return Measure(form, self.expr, bound=bound or Decimal(0), cases=self.cases)


@dataclass(frozen=True)
class Measure:
    """The PromQL that measures a ratio or a gauge; empty for other SLOs."""

    form: str = ""  # the key of the catalogue: what is bad or good about `expr`
    expr: str = ""
    total: str = ""  # all events, where `expr` selects some of them
    bound: Decimal = Decimal(0)  # of a value
    cases: GaugeCasesEntry | None = None


NO_MEASURE = Measure()


class SloEntry(SubjectEntry, NeedsEntry):
    """An SLO that is declared by hand."""

    one_of = ("ratio", "gauge", "routes")
    ratio: RatioEntry | None = None
    gauge: GaugeEntry | None = None
    routes: RouteIds | None = None
    objective: Percent | None = None
    availability: Percent | None = None
    latency: LatencyEntry | None = None
    subject: SloName | None = None
    excluded_codes: ExcludedCodes | None = None

    @model_validator(mode="after")
    def require_objective(self) -> Self:
        """Raise ValueError unless there is one objective, under the key that fits."""
        keys = ("availability", "latency") if self.routes else ("objective",)
        given = [
            key
            for key in ("objective", "availability", "latency")
            if getattr(self, key) is not None
        ]
        if len(given) != 1 or given[0] not in keys:
            raise ValueError(
                f"has {' and '.join(given) or 'no objective'}; write {' or '.join(keys)}, once"
            )
        if self.excluded_codes and not self.availability:
            raise ValueError("has excluded_codes, which belong to `availability`; remove them")
        return self

    @property
    def promised(self) -> Decimal:
        """Return the objective in per cent."""
        if self.latency:
            return self.latency.objective
        return self.objective or self.availability or Decimal(0)
