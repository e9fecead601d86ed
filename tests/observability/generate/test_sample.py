"""The sample: promtool's cases on its rules prove what the rules of the whole Plan do."""

import re
from collections.abc import Callable

import pytest

from observability.generate import prometheus
from observability.generate.sample import form, sample
from observability.lib.json_object import Json
from observability.sli.sources import source_of
from observability.spec import names
from observability.spec.loading import load_plan
from observability.spec.plan import Plan, Slo
from tests.observability.compiler_support import MANY, changed

MANY_OF_EACH_KIND = (
    changed(
        MANY,
        ("latency: []", "latency: [{threshold: 1s, objective: 99}]"),
        ("routes: []", "routes: [things.r0, things.r1]"),
    )
    + "jobs:\n"
    + "".join(
        f"  a.j{n}: {{fresh_within: {n % 3 + 1}h, objective: 99, next_steps: [Look.],"
        f" alerts: {{disable: [{'page' if n % 2 else ''}], labels: {{team: t{n}}}}}}}\n"
        for n in range(9)
    )
)
CONSTANTS = (names.OBJECTIVE, names.NEXT_STEPS_INFO)
LISTED = re.compile(r'\b(route|dependency|task|proxy|subject|slo)=~"[^"]*"')
COUNTED = re.compile(r"!=\d+$")


@pytest.fixture(params=["real", "fixed", "many"])
def whole(request: pytest.FixtureRequest, plan: Plan, plan_of: Callable[..., Plan]) -> Plan:
    """Return a Plan that has more SLOs than forms."""
    if request.param == "many":
        return plan_of(MANY_OF_EACH_KIND)
    return load_plan() if request.param == "real" else plan


def rules(plan: Plan) -> list[Json]:
    """Return the rules of a Plan, each with its group's name and interval."""
    return [
        rule | {"group": group["name"], "interval": group["interval"]}
        for group in prometheus.groups(plan)
        for rule in group["rules"]
    ]


def computed(plan: Plan) -> list[Json]:
    """Return the rules but those of constants; no expression names SLOs, or how many there are."""
    return [
        rule | {"expr": COUNTED.sub("", LISTED.sub(r"\1", "".join(rule["expr"].split())))}
        for rule in rules(plan)
        if rule.get("record") not in CONSTANTS
    ]


def constants(plan: Plan, slo: Slo) -> list[tuple[str, str, str, frozenset[str]]]:
    """Return the constants of an SLO without its own texts."""
    return [
        (rule["record"], rule["interval"], rule["expr"], frozenset(rule["labels"]))
        for rule in rules(plan)
        if rule.get("record") in CONSTANTS and rule["labels"][names.SLO] == slo.name
    ]


def test_rules_of_the_whole_plan_have_the_form_of_those_of_the_sample(whole: Plan) -> None:
    """They differ in the names of SLOs and subjects, and in their number."""
    few = sample(whole)
    assert len(few.slos) < len(whole.slos)
    assert computed(whole) == computed(few)


def test_every_slo_has_the_constants_of_its_form(whole: Plan) -> None:
    """Nothing but names, owners and next steps differs."""
    few = sample(whole)
    by_form = {form(slo): constants(few, slo) for slo in few.slos}
    assert len(by_form) == len(few.slos)
    for slo in whole.slos:
        assert constants(whole, slo) == by_form[form(slo)], slo.name
        assert len(by_form[form(slo)]) == len(CONSTANTS)


def test_counters_select_the_subjects_of_their_slos(whole: Plan) -> None:
    """Each SLO is counted by the one pair of rules that has its source, kind and limit.

    One that is declared by hand has a pair of its own.
    """
    sources = {slo.source: source for slo in whole.slos if (source := source_of(slo))}
    counted: dict[str, list[str]] = {names.BAD: [], names.TOTAL: []}
    for rule in rules(whole):
        if rule.get("record") in counted and names.SLO not in rule["labels"]:
            labels = rule["labels"]
            source = sources[labels[names.SOURCE]]
            [listed] = set(re.findall(rf'\b{source.label}=~"([^"]*)"', rule["expr"]))
            kind = f"{source.name} {labels[names.SLI]} {labels.get(names.LIMIT)}"
            subjects = listed.replace(r"\\.", ".").split("|")
            counted[rule["record"]] += (f"{kind} {subject}" for subject in subjects)
    expected = sorted(
        f"{slo.source} {slo.sli} {slo.threshold.text if slo.threshold else None} {slo.subject}"
        for slo in whole.slos
        if slo.source in sources and not slo.is_declared
    )
    assert sorted(counted[names.BAD]) == sorted(counted[names.TOTAL]) == expected
