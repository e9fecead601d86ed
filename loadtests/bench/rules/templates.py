"""The templates of the rules benchmark: its service's files, Sloth's rules, and the report."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from observability.lib.promql import edge, selector
from observability.spec import names

ENVIRONMENT = Environment(  # noqa: S701 - no HTML
    loader=PackageLoader(__package__), undefined=StrictUndefined
)
ENVIRONMENT.globals.update(names=names, edge=edge, selector=selector)


def render(template: str, **values: object) -> str:
    """Return a filled template."""
    return ENVIRONMENT.get_template(template).render(values)


def write(template: str, folder: Path, **values: object) -> None:
    """Write a filled template to a file of its name."""
    (folder / template).write_text(render(template, **values), encoding="utf-8")
