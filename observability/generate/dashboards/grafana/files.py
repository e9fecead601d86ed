"""The files that Grafana reads: one per dashboard, and the provisioning that points to them."""

import json
from typing import Any

from grafanalib._gen import DashboardEncoder

from observability.generate.dashboards.grafana.dashboard import dashboard
from observability.generate.dashboards.grafana.provisioning import provisioning
from observability.generate.dashboards.registry import boards
from observability.lib.json_object import Json
from observability.spec.plan import Plan

DASHBOARDS = "grafana/dashboards"


def render(plan: Plan) -> dict[str, str]:
    """Return path → text of every dashboard and provisioning file."""
    dashboards = {
        f"{DASHBOARDS}/{board.slug}.json": to_json(dashboard(plan, board)) for board in boards(plan)
    }
    return dashboards | provisioning(plan)


def to_json(dashboard_model: Json) -> str:
    """Return the dashboard as JSON with sorted keys and without nulls."""
    plain = json.loads(json.dumps(dashboard_model, cls=DashboardEncoder))
    without_nulls = drop_nulls(plain)
    return json.dumps(without_nulls, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def drop_nulls(json_value: Any) -> Any:
    """Return the JSON value without keys that are null.

    `value` stays: Grafana requires the null of the lowest threshold step.
    """
    if isinstance(json_value, list):
        return [drop_nulls(item) for item in json_value]
    if not isinstance(json_value, dict):
        return json_value
    return {
        key: drop_nulls(item)
        for key, item in json_value.items()
        if item is not None or key == "value"
    }
