"""Plan → rules for scrapes of a metric whose label holds concrete paths; pure.

A metric that is labelled with `/orders/17` has a series for every order, and one for every URL
that anybody invents. The rules add the label that the recording rules read, and drop what belongs
to no route of the catalogue. The concrete path stays: without it, the series of two orders would be
one series with two values, which Prometheus refuses.
"""

import re
from collections.abc import Iterator

from observability.generate.yaml_text import generated_yaml
from observability.lib.json_object import Json
from observability.lib.promql import escape_regex
from observability.spec.plan import Plan, Route
from observability.spec.signals import Signal

FILE = "prometheus/metric_relabel_configs.yaml"
CONCRETE = "path"  # the label of concrete paths
SEGMENTS = {"integer": r"\d+", "number": r"[\d.]+"}  # by type of the parameter
ANY_SEGMENT = "[^/]+"


def render(plan: Plan) -> dict[str, str]:
    """Return the file; none where metrics have templates."""
    if not plan.signals.concrete_paths:
        return {}
    return {FILE: generated_yaml({"metric_relabel_configs": list(rules(plan))})}


def rules(plan: Plan) -> Iterator[Json]:
    """Yield a rule for each route, the most exact path first, and one for what matches none."""
    for family, signal in {family_of(signal): signal for signal in plan.signals.every()}.items():
        routes_by_path = {route.http.path: route for route in plan.routes}
        for route in sorted(routes_by_path.values(), key=exactness):
            yield {
                "source_labels": ["__name__", signal.path, CONCRETE],
                "regex": f"{family};;{concrete(route)}",
                "target_label": signal.path,
                "replacement": route.spell(signal)[0],
            }
        yield {
            "source_labels": ["__name__", signal.path],
            "regex": f"{family};",
            "action": "drop",
        }


def family_of(signal: Signal) -> str:
    """Return a regular expression of the signal's series."""
    return escape_regex(re.sub("_count$", "", signal.metric)) + "(_bucket|_count|_sum|_created)?"


def exactness(route: Route) -> tuple[list[bool], str]:
    """Return a key by which `/orders/new` comes before `/orders/{order_id}`."""
    return ["{" in part for part in route.http.path.split("/")], route.id


def concrete(route: Route) -> str:
    """Return a regular expression of the paths that the route serves."""
    types = dict(route.types)
    regex = ""
    for text, parameter in re.findall(r"([^{]*)(?:{(\w+)})?", route.http.path):
        regex += re.escape(text)
        if parameter:
            regex += SEGMENTS.get(types.get(parameter, ""), ANY_SEGMENT)
    return regex
