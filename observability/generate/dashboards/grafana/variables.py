"""The variables of a dashboard in Grafana's model."""

from observability.generate.dashboards.grafana.vocabulary import reference
from observability.lib import scope
from observability.lib.json_object import Json
from observability.lib.panels import METRICS, Variable
from observability.spec.plan import Plan

ALL_VALUES = {"text": ["All"], "value": ["$__all"]}
HIDDEN = 2
REFRESH_ON_LOAD = 1
REFRESH_ON_TIME_RANGE = 2
DEFAULTS: Json = {
    "hide": 0,
    "includeAll": False,
    "multi": False,
    "refresh": REFRESH_ON_LOAD,
    "sort": 1,  # alphabetically
}


def data_source(kind: str) -> Json:
    """Return the hidden variable that names a data source, so that boards work in any Grafana."""
    return DEFAULTS | {
        "type": "datasource",
        "name": kind,
        "label": kind.capitalize(),
        "query": kind,
        "hide": HIDDEN,
        "current": {"text": kind, "value": kind},
    }


def variable(plan: Plan, choice: Variable) -> Json:
    """Return a variable that the reader chooses: from a series, from a list, or as text."""
    model = DEFAULTS | {"name": choice.name, "label": choice.label}
    if choice.series:
        query = f"label_values({scope.limit(plan, choice.series)}, {choice.of or choice.name})"
        model |= {"type": "query", "query": query, "refresh": REFRESH_ON_TIME_RANGE}
        model["datasource"] = reference(METRICS)
    else:
        model["type"] = "custom" if choice.values else "textbox"
        model["query"] = ",".join(choice.values)
    if choice.multi:
        model |= {"multi": True, "includeAll": True, "allValue": ".*", "current": ALL_VALUES}
    return model
