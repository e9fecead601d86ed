"""Formats of times and texts in the pages."""

import re
import time

from markupsafe import Markup, escape

from observability.lib import charts
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
    html = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    return Markup(html)  # noqa: S704 - escaped in the line above
