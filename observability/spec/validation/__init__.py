"""Checks of a catalogue and a policy that are valid by themselves: within and between the two."""

from observability.spec.problems import Problem
from observability.spec.schema.catalogue import Catalogue
from observability.spec.schema.policy import Policy
from observability.spec.validation.catalogue import check_catalogue
from observability.spec.validation.policy import check_policy
from observability.spec.validation.references import Where


def validate(
    catalogue: Catalogue, policy: Policy, in_catalogue: Where, in_policy: Where
) -> list[Problem]:
    """Return every problem; `in_catalogue` and `in_policy` return the places of keys."""
    return [
        *check_catalogue(catalogue, policy, in_catalogue),
        *check_policy(catalogue, policy, in_policy),
    ]
