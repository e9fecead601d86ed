"""The base of freshness and probes: the age of the last success, which a gauge exposes."""

from collections.abc import Iterator
from typing import ClassVar

from observability.lib import scope
from observability.lib.promql import by_slo, one_of, selector
from observability.lib.templates import fill
from observability.sli.kind import SecondsKind
from observability.sli.steady_traffic import SteadyTraffic, counter, gauge
from observability.spec import names
from observability.spec.plan import Plan, Slo
from observability.spec.quantities import format_decimal

# A missing gauge counts as 0 as soon as Prometheus has an `up` series for its scrape job. Samples
# from before a restart of Prometheus, which queries still find for 5 minutes, do not count.
FRESH = """\
(time() - <<last_success>> <= bool <<limit>>)
or on (<<SLO>>) (sum by (<<SLO>>) (0 * <<objectives>>) and on () <<up>>)"""

RECENT = "(<<series>> and timestamp(<<series>>) >= time() - <<seconds>>)"
RECENT_SCRAPES = 2  # a sample of a target that is scraped is younger than two scrapes


class LastSuccess(SecondsKind):
    """A second is good while the last success is recent enough."""

    missing_is_bad = True

    source: ClassVar[str]
    metric: ClassVar[str]  # gauge: time of the last success
    label: ClassVar[str]  # of the subject
    impact_text: ClassVar[str]  # what users notice, formatted with the SLO

    def freshness(self, plan: Plan) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield expressions by `slo`: 1 while the success is recent, else 0.

        There is one per limit, with labels that tell its series from those of the others.
        """
        recent_seconds = format_decimal(plan.clock.scrape * RECENT_SCRAPES)
        [scrape_job] = scope.scrape_jobs(plan, self.metric)
        up = fill(RECENT, series=selector(names.UP, job=scrape_job), seconds=recent_seconds)
        for limit, slos in plan.slos_by_limit(self.source, self.name).items():
            subjects = selector(self.metric, **{self.label: one_of(slo.subject for slo in slos)})
            recent = fill(RECENT, series=subjects, seconds=recent_seconds)
            slo_names = one_of(slo.name for slo in slos)
            expr = fill(
                FRESH,
                last_success=by_slo(recent, self.label, f"-{self.name}", "max", keep=()),
                limit=format_decimal(limit.seconds),
                objectives=selector(names.OBJECTIVE, **{names.SLO: slo_names}),
                up=up,
            )
            yield expr, {names.SLI: self.name, names.LIMIT: limit.text}

    def measured_by(self, slo: Slo) -> str:  # noqa: ARG002 - one gauge measures all
        """Return the gauge."""
        return self.metric

    def impact(self, slo: Slo) -> str:
        """Return the catalogue's words, else what follows from an old success."""
        return slo.impact or self.impact_text.format(slo=slo)

    def steady_series(self, plan: Plan, traffic: SteadyTraffic) -> dict[str, str]:
        """Return times that keep up with the clock, or stand still where seconds are bad."""
        return {
            selector(self.metric, **{self.label: slo.subject}): self._times(slo, traffic)
            for slo in self.slos(plan)
        }

    def _times(self, slo: Slo, traffic: SteadyTraffic) -> str:
        if traffic.share(slo.name):
            return gauge(-int(slo.limit.seconds) - 1)
        return counter(int(traffic.step))

    def _age(self, slo: Slo) -> str:
        """Return the query of the seconds since the last success."""
        return f"time() - max({selector(self.metric, **{self.label: slo.subject})})"
