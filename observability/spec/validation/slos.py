"""Checks of SLOs that are declared by hand."""

from collections.abc import Iterator
from typing import get_args

from observability.spec import names
from observability.spec.problems import Problem
from observability.spec.schema.catalogue import Catalogue
from observability.spec.schema.policy import SliKind
from observability.spec.validation.references import Where, repeated


def check_slos(catalogue: Catalogue, where: Where) -> Iterator[Problem]:
    """Yield names that other SLOs have or may get, routes that are repeated, and wrong subjects.

    Alerts about a dependency silence those of what needs it.
    """
    sections = (catalogue.routes, catalogue.exempt, catalogue.jobs, catalogue.dependencies)
    subjects = {names.GATEWAY}.union(*sections)
    for name, slo in catalogue.slos.items():
        for subject in sorted(subjects):
            if is_name_of(subject, name):
                message = f"is a name of the SLOs of {subject}, or of their page"
                yield Problem(where("slos", name), message, "choose another name")
        if slo.subject in {names.GATEWAY, *catalogue.dependencies}:
            fix = f"choose another subject; `needs: [{slo.subject}]` says that it fails with it"
            yield Problem(where("slos", name, "subject"), "is a dependency or the gateway", fix)
        if slo.routes and not catalogue.routes_of_slo(slo):
            fix = "declare routes, or measure it by `ratio` or `gauge`"
            yield Problem(where("slos", name, "routes"), "the catalogue has no routes", fix)
        yield from repeated(where("slos", name, "routes"), slo.routes or ())


def is_name_of(subject: str, name: str) -> bool:
    """Return whether a name is a subject, or may be that of one of its SLOs."""
    kinds = tuple(f"{subject}-{kind}-" for kind in get_args(SliKind))
    return name == subject or f"{name}-".startswith(kinds)
