"""The Plan of a stack that has no gateway."""

from dataclasses import replace

from observability.spec import names
from observability.spec.plan import GATEWAY_SOURCE, Plan


def without_gateway(plan: Plan) -> Plan:
    """Return the Plan of a stack that has no gateway, where nothing measures its SLO."""
    slos = tuple(slo for slo in plan.slos if slo.source != GATEWAY_SOURCE)
    needs = {subject: needed for subject, needed in plan.needs.items() if subject != names.GATEWAY}
    return replace(plan, slos=slos, needs=needs)
