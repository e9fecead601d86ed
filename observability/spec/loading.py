"""The Plan of two files, or every problem that keeps them from having one."""

from collections.abc import Callable
from pathlib import Path

from observability.spec.builder import build_plan
from observability.spec.documents import read_document
from observability.spec.openapi import Contract
from observability.spec.parsing import parse
from observability.spec.plan import Plan
from observability.spec.problems import Invalid, by_place
from observability.spec.schema.catalogue import Catalogue
from observability.spec.schema.policy import Policy
from observability.spec.validation import validate

FOLDER = Path(__file__).resolve().parents[1]
CATALOGUE = FOLDER / "catalogue.yaml"
POLICY = FOLDER / "policy.yaml"
Edit = Callable[[str], str]


def load_plan(
    catalogue: Path = CATALOGUE,
    policy: Path = POLICY,
    edit: Edit = str,
    contract: Contract | None = None,
) -> Plan:
    """Return the Plan of a catalogue and a policy; raise Invalid with every problem in them.

    `edit` changes the text of each file, as to the links of one stack. `contract` is the service's
    OpenAPI document, from which the types of parameters are known.
    """
    return build_plan(*load_entries(catalogue, policy, edit), contract or {})


def load_entries(
    catalogue: Path = CATALOGUE, policy: Path = POLICY, edit: Edit = str
) -> tuple[Catalogue, Policy]:
    """Return the models of both files; raise Invalid with every problem in them.

    The files are compared with each other only when each is valid by itself.
    """
    catalogue_document = read_document(catalogue, edit)
    policy_document = read_document(policy, edit)
    entries, problems = parse(catalogue_document, Catalogue)
    rules, policy_problems = parse(policy_document, Policy)
    problems += policy_problems
    if entries and rules and not problems:
        problems += validate(entries, rules, catalogue_document.where, policy_document.where)
    if problems or entries is None or rules is None:
        raise Invalid(sorted(problems, key=by_place))
    return entries, rules
