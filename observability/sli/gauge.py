"""Gauge: the share of the time in which a value is good, or the mean of a share over time."""

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from observability.lib.promql import selector
from observability.lib.runbook_check import RunbookCheck
from observability.lib.templates import fill
from observability.sli.kind import SecondsKind
from observability.sli.steady_traffic import ONE_INSTANCE, SteadyTraffic, counter, gauge
from observability.spec import names
from observability.spec.plan import GAUGE_VALUE, Plan, Slo
from observability.spec.quantities import format_decimal
from observability.spec.schema.slos import Measure
from observability.spec.selectors import example


class Form(NamedTuple):
    """One key of the catalogue: its expression and promise, and a good and a bad value."""

    expr: str
    promise: str
    good: Decimal  # beside the bound
    bad: Decimal


# The worst series counts. A comparison with -Inf leaves out NaN, which would else be part of the
# mean over the whole period.
OFTEN = "of the time, "
FORMS = {
    "bool": Form(
        "(min(<<expr>>) >= -Inf) == bool 1",
        OFTEN + "it is as it should be",
        good=Decimal(1),
        bad=Decimal(0),
    ),
    "at_most": Form(
        "(max(<<expr>>) >= -Inf) <= bool <<bound>>",
        OFTEN + "the value is at most <<bound>>",
        good=Decimal(0),
        bad=Decimal(1),
    ),
    "at_least": Form(
        "(min(<<expr>>) >= -Inf) >= bool <<bound>>",
        OFTEN + "the value is at least <<bound>>",
        good=Decimal(0),
        bad=Decimal(-1),
    ),
    "good_share": Form(
        "clamp(avg(<<expr>>) >= -Inf, 0, 1)",
        "are good on average",
        good=Decimal(1),
        bad=Decimal(0),
    ),
    "bad_share": Form(
        "1 - clamp(avg(<<expr>>) >= -Inf, 0, 1)",
        "are good on average",
        good=Decimal(0),
        bad=Decimal(1),
    ),
}


class Gauge(SecondsKind):
    """The catalogue names an expression, and what is good about its value."""

    name = GAUGE_VALUE
    bad_text = "the time {subject} was bad"

    def freshness(self, plan: Plan) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield an expression per SLO."""
        for slo in self.slos(plan):
            expr = fill(FORMS[slo.measure.form].expr, **fields(slo.measure))
            yield expr, {names.SLI: self.name, names.SLO: slo.name}

    def promise(self, slo: Slo) -> str:
        """Return what the form of the SLO calls good."""
        return fill(FORMS[slo.measure.form].promise, **fields(slo.measure))

    def measured_by(self, slo: Slo) -> str:
        """Return the expression."""
        return slo.measure.expr

    def steady_series(self, plan: Plan, traffic: SteadyTraffic) -> dict[str, str]:
        """Return values that are good all the time, or bad all the time."""
        series: dict[str, str] = {}
        for slo in self.slos(plan):
            is_bad = traffic.share(slo.name) > 0
            for name, value in values(slo.measure, is_bad=is_bad).items():
                series[name] = counter(int(traffic.step)) if value == "now" else gauge(value)
        return series

    def impact(self, slo: Slo) -> str:
        """Return the catalogue's words, else what can be said of any value."""
        return slo.impact or f"{slo.subject} is not as it should be."

    def checks(self, slo: Slo) -> tuple[RunbookCheck, ...]:
        """Return the value."""
        return (RunbookCheck("What is the value?", slo.measure.expr),)


def fields(measure: Measure) -> dict[str, str]:
    """Return the fields of a form's templates."""
    return {"expr": measure.expr, "bound": format_decimal(measure.bound)}


def values(measure: Measure, *, is_bad: bool) -> dict[str, str]:
    """Return the values of promtool's series: those of the catalogue, else of an example."""
    if measure.cases:
        return measure.cases.bad if is_bad else measure.cases.good
    series = example(measure.expr)
    form = FORMS[measure.form]
    value = measure.bound + (form.bad if is_bad else form.good)
    return {selector(series.metric, **ONE_INSTANCE | series.labels): format_decimal(value)}
