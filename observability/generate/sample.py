"""The sample of a Plan on whose rules promtool's cases run: one SLO of each form of rule.

promtool loads every rule for each file of cases and stops at too many samples, so the cost of the
cases must not grow with the SLOs. The rules of the whole Plan have the same form. SLOs that are
declared by hand have expressions of their own, and are all in the sample.
"""

from dataclasses import replace
from typing import Any

from observability.spec.plan import Plan, Slo


def sample(plan: Plan) -> Plan:
    """Return the Plan with the first SLO of each kind, source, limit and objective."""
    by_form: dict[Any, Slo] = {}
    for slo in plan.slos:
        by_form.setdefault(form(slo), slo)
    return replace(plan, slos=tuple(by_form.values()))


def form(slo: Slo) -> tuple[Any, ...]:
    """Return all that the rules of an SLO depend on, besides names and texts."""
    if slo.is_declared:
        return (slo.name,)
    own_labels = tuple(label for label, _ in slo.labels)
    limit = slo.threshold or slo.fresh_within
    of_source = (slo.sli, slo.source, limit, slo.excluded_codes)
    return *of_source, slo.objective, slo.muted, own_labels
