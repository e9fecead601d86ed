"""HTML that the console and the pages of load runs share, as Jinja macros."""

from jinja2 import BaseLoader, ChoiceLoader, PackageLoader


def with_macros(templates: BaseLoader) -> BaseLoader:
    """Return a loader of these templates, and of the shared macros."""
    return ChoiceLoader([templates, PackageLoader(__name__, ".")])
