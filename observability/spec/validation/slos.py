"""Checks of SLOs that are declared by hand."""

from collections.abc import Iterator
from typing import get_args

from observability.spec import names
from observability.spec.problems import Problem
from observability.spec.schema.catalogue import Catalogue
from observability.spec.schema.policy import SliKind
from observability.spec.validation.references import Where


def check_slos(catalogue: Catalogue, where: Where) -> Iterator[Problem]:
    """Yield names that the SLOs of a route, a job, a dependency or the gateway have or may get."""
    sections = (catalogue.routes, catalogue.exempt, catalogue.jobs, catalogue.dependencies)
    subjects = {names.GATEWAY}.union(*sections)
    for name in catalogue.slos:
        subject, _, rest = name.partition("-")
        kind, _, _ = rest.partition("-")
        if subject in subjects and kind in ("", *get_args(SliKind)):
            message = f"is a name of the SLOs of {subject}, or of their page"
            yield Problem(where("slos", name), message, "choose another name")
