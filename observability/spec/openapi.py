"""What the Plan takes from a service's OpenAPI document."""

from typing import Any

from observability.spec.schema.fields import Http
from observability.spec.signals import Types

Contract = dict[str, Any]


def parameter_types(http: Http, contract: Contract) -> Types:
    """Return the types of the parameters in a path; `uuid` is one, and none of an unknown path."""
    item = contract.get("paths", {}).get(http.path, {})
    operation = item.get(http.method.lower(), {})
    types = {}
    for parameter in (*item.get("parameters", ()), *operation.get("parameters", ())):
        schema = parameter.get("schema", {})
        if parameter.get("in") == "path":
            is_uuid = schema.get("format") == "uuid"
            types[parameter["name"]] = "uuid" if is_uuid else schema.get("type", "")
    return types
