"""A kind of SLI is one module and one line of the registry."""

import ast
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest

from observability.generate import prometheus, promtool_tests
from observability.generate.registry import ROOT
from observability.generate.runbook.entries import entries
from observability.lib.promql import selector
from observability.lib.runbook_check import RunbookCheck
from observability.sli import registry
from observability.sli.kind import EventCounters, EventKind, subjects_of, sum_calls
from observability.sli.sources import calls_of
from observability.sli.steady_traffic import EVENTS, SteadyTraffic, counter
from observability.spec import names
from observability.spec.plan import (
    AVAILABILITY,
    COUNTER_RATIO,
    FRESHNESS,
    GAUGE_VALUE,
    LATENCY,
    PROBE,
    Plan,
    Slo,
)
from observability.spec.schema.policy import SliKind
from tests.observability.compiler_support import slo_of

OUTSIDE = sorted(
    path
    for folder in ("api", "observability", "loadtests")
    for path in (ROOT / folder).rglob("*.py")
    if not path.is_relative_to(ROOT / "observability" / "sli")
    and not path.is_relative_to(ROOT / "observability" / "spec")
    # A drill declares which kind of SLI its fault breaks.
    and path != ROOT / "observability" / "drill" / "registry.py"
)
KIND_CONSTANTS = {"AVAILABILITY", "LATENCY", "FRESHNESS", "PROBE", "COUNTER_RATIO", "GAUGE_VALUE"}
RETRIES = names.RETRIES + "_total"


class Retried(EventKind):
    """A kind that only this test knows: calls to a dependency that had to be repeated."""

    name = "retried"

    def counters(self, slos: Sequence[Slo]) -> EventCounters:
        """Return retries among calls."""
        source, subjects = calls_of(slos[0]), subjects_of(slos)
        return EventCounters(
            total=sum_calls(slos, source.all_calls(subjects)),
            bad=sum_calls(slos, selector(RETRIES, dependency=subjects)),
        )

    def steady_series(self, plan: Plan, traffic: SteadyTraffic) -> dict[str, str]:
        """Return retries beside the calls that the availability's series are."""
        return {
            selector(RETRIES, dependency=slo.subject): counter(traffic.bad_of(EVENTS, slo.name))
            for slo in self.slos(plan)
        }

    def promise(self, slo: Slo) -> str:
        """Return a promise."""
        return f"of calls to {slo.subject} need no retry"

    def bad_events(self, subject: str) -> str:
        """Return what is bad."""
        return f"calls to {subject} were repeated"

    def impact(self, slo: Slo) -> str:
        """Return what users notice."""
        return f"Routes that need {slo.subject} are slower."

    def checks(self, slo: Slo) -> tuple[RunbookCheck, ...]:
        """Return what to look at."""
        return RunbookCheck(
            "How many retries?", selector(RETRIES, dependency=slo.subject)
        ), RunbookCheck("Up?", "up")


@pytest.fixture
def with_retried(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Return the plan with one SLO of a kind that one line registered."""
    monkeypatch.setitem(registry.KINDS, Retried.name, Retried())
    model = slo_of(plan, "database-availability")
    slo = replace(model, name="database-retried", sli=Retried.name, objective=Decimal("0.99"))
    tiers = tuple(replace(tier, slis=(*tier.slis, Retried.name)) for tier in plan.tiers)
    return replace(plan, slos=(*plan.slos, slo), tiers=tiers)


def test_a_new_kind_reaches_rules_cases_texts_and_runbook(
    with_retried: Plan, promtool: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    """promtool shows that its alert fires; its texts are in the summary and on the page."""
    files = prometheus.render(with_retried) | promtool_tests.render(with_retried)
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    tier = with_retried.tiers[0].name
    cases = tmp_path / promtool_tests.FOLDER / f"{tier}.yaml"
    assert 'slo="database-retried"' in cases.read_text(encoding="utf-8")
    result = promtool("test", "rules", cases)
    assert result.returncode == 0, result.stdout + result.stderr

    assert "calls to {{ $labels.subject }} were repeated" in files[prometheus.RULES]
    page = entries(with_retried)["database-retried"]
    assert page.meaning.startswith("Objective over 30d: 99 % of calls to database need no retry.")
    assert page.users == "Routes that need database are slower."
    assert "How many retries?" in [check.text for check in page.checks]


def kinds_named(source: str) -> list[str]:
    """Return the constants and comparisons by which a module asks for a kind of SLI."""
    uses = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "observability.spec.plan":
            uses += [alias.name for alias in node.names if alias.name in KIND_CONSTANTS]
        if isinstance(node, ast.Attribute) and node.attr in KIND_CONSTANTS:
            uses.append(node.attr)
        if isinstance(node, ast.Compare | ast.MatchValue):
            literals = (part for part in ast.walk(node) if isinstance(part, ast.Constant))
            uses += [str(part.value) for part in literals if part.value in registry.KINDS]
    return uses


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_module_depends_on_a_kind(path: Path) -> None:
    """Everything that depends on the kind of an SLI is a method of that kind."""
    assert kinds_named(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "from observability.spec.plan import LATENCY, Plan",
        "x = plan.PROBE",
        "x = slo.sli == 'freshness'",
        "x = slo.sli in ('freshness', other)",
        "match slo.sli:\n    case 'probe':\n        pass",
    ],
)
def test_dependency_on_a_kind_is_detected(source: str) -> None:
    """A module that compares a kind fails the test above."""
    assert len(kinds_named(source)) == 1


def test_no_template_depends_on_a_kind() -> None:
    """Pages show the texts of the kind."""
    templates = sorted((ROOT / "observability").rglob("*.html"))
    assert templates
    quoted = re.compile("|".join(f"(?<!class=)[\"']{kind}[\"']" for kind in registry.KINDS))
    for path in templates:
        assert not quoted.findall(path.read_text(encoding="utf-8")), path


def test_kinds_are_those_that_a_tier_may_name() -> None:
    """policy.yaml, the names of kinds and the registry agree."""
    assert list(registry.KINDS) == list(get_args(SliKind))
    assert list(registry.KINDS) == [
        AVAILABILITY,
        LATENCY,
        FRESHNESS,
        PROBE,
        COUNTER_RATIO,
        GAUGE_VALUE,
    ]


@pytest.mark.parametrize(
    ("slo", "promise"),
    [
        ("orders.list-availability", "99.9 % of requests do not fail"),
        ("orders.list-latency-200ms", "95 % of successful requests take at most 200ms"),
        ("database-availability", "99.99 % of calls succeed"),
        ("thingspeak.sync-freshness", "99 % of the time, the last success is at most 15m old"),
        ("orders.list-probe", "99.9 % of the time, the last successful probe is at most 12s old"),
    ],
)
def test_promises_read_as_sentences(plan: Plan, slo: str, promise: str) -> None:
    """Tables show promises in words."""
    assert registry.promise(slo_of(plan, slo)) == promise
