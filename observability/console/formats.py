"""Formats of times and texts in the pages."""

import time

from markupsafe import Markup

from observability.lib import charts, escaping
from observability.lib.panels import Unit


def ago(moment: float | None) -> str:
    """Return the time since a Unix time, in words."""
    if moment is None:
        return "–"
    return charts.text(max(0.0, time.time() - moment), Unit.SECONDS)


def clock(moment: float | None) -> str:
    """Return the local time of a Unix time, with the day when it is not today."""
    if moment is None:
        return "–"
    local = time.localtime(moment)
    is_today = local[:3] == time.localtime()[:3]
    return time.strftime("%H:%M:%S" if is_today else "%d %b %H:%M:%S", local)


def prose(text: str) -> Markup:
    """Return a text of the catalogue as HTML, in which `this` is code."""
    return Markup(escaping.html(text))  # noqa: S704 - escaped there
