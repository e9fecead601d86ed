"""Pieces of Grafana's JSON that dashboards, panels and variables share."""

from observability.lib.json_object import Json


def reference(kind: str) -> Json:
    """Return the reference to a data source, through the variable that names it."""
    return {"type": kind, "uid": "${" + kind + "}"}


def ref_id(number: int) -> str:
    """Return Grafana's name of a panel's query: A, B, C …"""
    return chr(ord("A") + number)


def fixed_colour(colour: str) -> Json:
    """Return the colour of a field."""
    return {"mode": "fixed", "fixedColor": colour}


def null_text(text: str) -> list[Json]:
    """Return the mapping that shows a text, in no colour, instead of a missing value."""
    result = {"text": text, "color": "text"}
    return [{"type": "special", "options": {"match": "null", "result": result}}]
