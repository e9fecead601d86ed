"""The HTML pages of a load run and of the comparison of two."""

from typing import Any

from jinja2 import Environment, PackageLoader

from observability.lib import charts, panels
from observability.lib.html import with_macros


def render_page(template: str, **values: Any) -> str:
    """Render one of templates/*.html; values are escaped."""
    environment = Environment(
        loader=with_macros(PackageLoader("observability.load")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"unit": charts.text, "count": format_count}
    return environment.get_template(template).render(colours=panels, **values)


def format_count(number: float) -> str:
    """Return a whole number with narrow spaces between thousands."""
    return f"{number:,.0f}".replace(",", "\u202f")
