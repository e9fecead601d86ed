"""The HTML pages of a load run and of the comparison of two."""

from typing import Any

from jinja2 import Environment, PackageLoader

from observability.lib import charts, panels

COLOURS = {
    "good": panels.GOOD,
    "bad": panels.BAD,
    "warn": panels.WARN,
    "blue": panels.BLUE,
    "grey": panels.GREY,
}


def render_page(template: str, **values: Any) -> str:
    """Render one of templates/*.html; values are escaped."""
    environment = Environment(
        loader=PackageLoader("observability.load"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"unit": format_value, "count": format_count}
    return environment.get_template(template).render(colours=COLOURS, **values)


def format_value(value: float | None, unit: str) -> str:
    """Return a value in a unit of Grafana's, as the charts write it."""
    return charts.text(value, panels.Unit(unit))


def format_count(number: float) -> str:
    """Return a whole number with narrow spaces between thousands."""
    return f"{number:,.0f}".replace(",", "\u202f")
