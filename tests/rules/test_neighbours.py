"""Rules of two services, and of other generators, in one Prometheus.

Each service alerts and records exactly as it does alone, to the evaluation and to the digit.
"""

import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml

from observability.generate import prometheus
from observability.lib import scope
from observability.lib.promql import selector
from observability.sli.registry import steady_series
from observability.sli.steady_traffic import SteadyTraffic, counter
from observability.spec import names
from observability.spec.loading import load_plan
from observability.spec.plan import (
    AVAILABILITY,
    DEPENDENCY_SOURCE,
    FRESHNESS,
    GATEWAY_SOURCE,
    HTTP_SOURCE,
    JOB_SOURCE,
    LATENCY,
    PROBE,
    PROBE_SOURCE,
    Plan,
)
from tests.observability.compiler_support import changed, program

NEIGHBOURS = Path(__file__).with_name("neighbours")
CATALOGUE = (NEIGHBOURS / "catalogue.yaml").read_text(encoding="utf-8")
OTHER_GENERATORS = ("sloth.yaml", "pyrra.yaml")
STEP = Decimal(15)
MINUTES = 15
SHARES = {  # of bad events while a service fails
    (HTTP_SOURCE, AVAILABILITY): Decimal("0.2"),
    (HTTP_SOURCE, LATENCY): Decimal("0.9"),
    (DEPENDENCY_SOURCE, AVAILABILITY): Decimal(1),
    (GATEWAY_SOURCE, AVAILABILITY): Decimal("0.5"),
    (PROBE_SOURCE, PROBE): Decimal(1),
    (JOB_SOURCE, FRESHNESS): Decimal(1),
}
QUESTIONS = (
    f"count_over_time({names.ALERTS}[{MINUTES}m])",
    f'{{__name__=~"{names.RECORDED}.+", __name__!="{names.NEXT_STEPS_INFO}"}}',
)
SAMPLE = re.compile(r'([\w:]*)\{((?:"(?:\\.|[^"\\])*"|[^}"])*)\} ([^\s,]+)')
LABEL = re.compile(r'(\w+)="((?:\\.|[^"\\])*)"')
Edit = tuple[str, str]
Inputs = dict[str, str]
Sample = frozenset[tuple[str, str]]  # labels, the name among them
Samples = dict[Sample, str]

PERIOD = "period: 30d"
OTHER_SERVICE = (
    ("service: evara-api", "service: shop"),
    (
        PERIOD,
        f"{PERIOD}\n"
        "scrape: {api: shop-api, prober: shop-prober, gateway: shop-gateway, others: [shop]}",
    ),
    ('fires: {\'up{job="api"', 'fires: {\'up{job="shop-api"'),
    ('silent: {\'up{job="api"', 'silent: {\'up{job="shop-api"'),
)
OTHER_OBJECTIVE = (
    ("  availability: 99.9\n  latency:", "  availability: 99.5\n  latency:"),
    ("owner: platform\nperiod", "owner: upstream\nperiod"),
)
OTHER_NAMES = {"orders": "items", "database": "store"}
PROD = ((PERIOD, f"{PERIOD}\nenvironment: prod\nscrape: {{labels: {{environment: prod}}}}"),)
STAGING = (
    (PERIOD, f"{PERIOD}\nenvironment: staging\nscrape: {{labels: {{environment: staging}}}}"),
)
UNNAMED = ((PERIOD, f"{PERIOD}\nscrape: {{labels: {{environment: ''}}}}"),)
REPLICAS = ((PERIOD, f"{PERIOD}\nscrape: {{replica_label: replica}}"),)


@dataclass(frozen=True)
class Service:
    """A service in a Prometheus: its plan, and its series while it fails or is healthy."""

    plan: Plan
    fails: bool

    @cached_property
    def inputs(self) -> Inputs:
        """Return the series of its metrics: every SLO and every symptom fails, or none does."""
        shares = {slo.name: SHARES[slo.source, slo.sli] for slo in self.plan.slos if self.fails}
        series = steady_series(self.plan, SteadyTraffic(shares, STEP))
        group = f"/rules.yaml;{scope.group_name(self.plan, names.FINE_GROUP)}"
        failures = counter(1 if self.fails else 0)
        series[selector(names.RULE_FAILURES, **{names.RULE_GROUP: group})] = failures
        for symptom in self.plan.symptoms:
            cases = symptom.entry.cases
            series |= cases.fires if self.fails else cases.silent
        return {scope.exposed(self.plan, one): values for one, values in series.items()}

    @property
    def rules(self) -> str:
        """Return its file of rules."""
        return prometheus.render(self.plan)[prometheus.RULES]


def rename(text: str) -> str:
    """Return a catalogue that has no name of a route, a dependency or a job in common."""
    for ours, theirs in OTHER_NAMES.items():
        text = text.replace(ours, theirs)
    return text


def plan_of(folder: Path, *edits: Edit, to_names: Callable[[str], str] = str) -> Plan:
    """Return the Plan of the fixed service with edits and other names."""
    path = folder / "catalogue.yaml"
    path.write_text(to_names(changed(CATALOGUE, *edits)), encoding="utf-8")
    return load_plan(path)


def evaluate(services: Sequence[Service], inputs: Inputs, *more: str) -> Samples:
    """Return how often each alert was active, and the last value of each recorded series.

    `more` are further files of rules.
    """
    rules = (*(service.rules for service in services), *more)
    plans = [service.plan for service in services]
    groups = tuple(scope.group_name(plan, group) for plan in plans for group in names.GROUPS)
    return run_promtool(rules, groups, tuple(sorted(inputs.items())))


@cache
def run_promtool(
    rules: tuple[str, ...], groups: tuple[str, ...], inputs: tuple[tuple[str, str], ...]
) -> Samples:
    """Return the answers to QUESTIONS; fail if a rule cannot be evaluated.

    promtool prints the samples that a case does not expect.
    """
    case = {
        "interval": f"{STEP}s",
        "input_series": [{"series": series, "values": values} for series, values in inputs],
        "promql_expr_test": [
            {"expr": expr, "eval_time": f"{MINUTES}m", "exp_samples": []} for expr in QUESTIONS
        ],
    }
    document = {
        "rule_files": [f"{number}.yaml" for number, _ in enumerate(rules)],
        "evaluation_interval": f"{STEP}s",
        "group_eval_order": list(groups),
        "tests": [case],
    }
    with TemporaryDirectory() as folder:
        for number, text in enumerate(rules):
            (Path(folder) / f"{number}.yaml").write_text(text, encoding="utf-8")
        path = Path(folder) / "case.yaml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        command = [program("promtool"), "test", "rules", str(path)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    output = result.stdout + result.stderr
    answers = re.findall(r"^ *got: ?(.*)$", output, re.MULTILINE)
    assert "err:" not in output, output[:2000]
    assert len(answers) == len(QUESTIONS), output[:2000]
    return {sample: value for answer in answers for sample, value in parse(answer)}


def parse(answer: str) -> Iterator[tuple[Sample, str]]:
    """Yield labels and value of each sample that promtool prints."""
    for name, labels, value in SAMPLE.findall(answer):
        yield frozenset([("__name__", name), *LABEL.findall(labels)]), value


def alone(service: Service) -> Samples:
    """Return what a service has when no other is in its Prometheus."""
    return evaluate([service], service.inputs)


def is_own(service: Service, sample: Sample) -> bool:
    """Return whether a service recorded the sample."""
    return scope.is_own(service.plan, dict(sample))


def own(samples: Samples, service: Service) -> Samples:
    """Return the samples of one service."""
    return {sample: value for sample, value in samples.items() if is_own(service, sample)}


def alerts(samples: Samples) -> set[str]:
    """Return the names of the alerts that were pending or firing."""
    return {dict(sample).get(names.ALERT_NAME, "") for sample in samples} - {""}


@pytest.mark.parametrize("fails", [True, False])
def test_failing_service_raises_every_alert(fails: bool, tmp_path: Path) -> None:
    """The cases below would prove little about an alert that never fires."""
    service = Service(plan_of(tmp_path), fails)
    raised = alerts(alone(service))
    silent = {names.UNMEASURED_ALERT, names.COUNT_ALERT}
    expected = {alert.name for alert in (*service.plan.guards, *service.plan.symptoms)} - silent
    assert raised == (expected | {names.BURN_ALERT} if fails else {names.WATCHDOG_ALERT})


@pytest.mark.parametrize("ours_fails", [True, False], ids=["ours fails", "theirs fails"])
@pytest.mark.parametrize(
    ("ours", "theirs", "to_names"),
    [
        pytest.param((), (*OTHER_SERVICE, *OTHER_OBJECTIVE), str, id="same SLOs, other objective"),
        pytest.param((), OTHER_SERVICE, rename, id="disjoint names"),
        pytest.param((), OTHER_SERVICE, str, id="same routes"),
        pytest.param(PROD, STAGING, str, id="prod and staging"),
        pytest.param(UNNAMED, STAGING, str, id="staging beside no environment"),
    ],
)
def test_two_services_alert_as_each_does_alone(
    ours: tuple[Edit, ...],
    theirs: tuple[Edit, ...],
    to_names: Callable[[str], str],
    ours_fails: bool,
    tmp_path: Path,
) -> None:
    """One fails in every way that has an alert, the other is healthy."""
    services = [
        Service(plan_of(tmp_path, *ours), ours_fails),
        Service(plan_of(tmp_path, *theirs, to_names=to_names), not ours_fails),
    ]
    together = evaluate(services, services[0].inputs | services[1].inputs)
    for service in services:
        assert own(together, service) == alone(service)
    assert len(together) == sum(len(own(together, service)) for service in services)


@pytest.mark.parametrize("fails", [True, False])
def test_rules_of_other_generators_change_nothing(fails: bool, tmp_path: Path) -> None:
    """Sloth records `slo:objective:ratio`; Pyrra's alert is ErrorBudgetBurn with a label `slo`."""
    service = Service(plan_of(tmp_path), fails)
    theirs = [(NEIGHBOURS / name).read_text(encoding="utf-8") for name in OTHER_GENERATORS]
    together = evaluate([service], service.inputs, *theirs)
    assert own(together, service) == alone(service)
    others = {sample: value for sample, value in together.items() if not is_own(service, sample)}
    assert (names.BURN_ALERT in alerts(others)) == fails


@pytest.mark.parametrize("fails", [True, False])
def test_replicas_of_a_series_count_once(fails: bool, tmp_path: Path) -> None:
    """A ruler that does not remove duplicates sees every series once per replica."""
    expected = alone(Service(plan_of(tmp_path), fails))
    service = Service(plan_of(tmp_path, *REPLICAS), fails)
    doubled = {
        one.replace("{", f'{{replica="{replica}",'): values
        for one, values in service.inputs.items()
        for replica in "ab"
    }
    assert evaluate([service], doubled) == expected
