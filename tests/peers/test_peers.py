"""The published examples of Sloth and Pyrra as catalogues: they compile, and their alerts fire."""

import re
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from observability.__main__ import cli
from observability.generate import promtool_tests, registry
from observability.spec.loading import load_plan
from observability.spec.plan import Plan

FOLDER = Path(__file__).parent
TABLE = (FOLDER / "README.md").read_text(encoding="utf-8")
# catalogue → its period, and the objective of each of its SLOs in per cent
EXPECTED: dict[str, tuple[str, dict[str, str]]] = {
    "pyrra/apiserver": (
        "7d",
        {
            "apiserver-read-cluster-latency": "99",
            "apiserver-read-namespace-latency": "99",
            "apiserver-read-resource-latency": "99",
            "apiserver-read-response-errors": "99",
            "apiserver-write-response-errors": "99",
        },
    ),
    "pyrra/caddy-response-latency": ("28d", {"caddy-response-latency": "90"}),
    "pyrra/coredns": ("7d", {"coredns-response-errors": "99.99"}),
    "pyrra/docker-compose-prometheus-http": ("7d", {"prometheus-api-query": "99"}),
    "pyrra/kubelet": ("7d", {"kubelet-request-errors": "99", "kubelet-runtime-errors": "99"}),
    "pyrra/nginx": ("28d", {"nginx-api-errors": "99.9", "nginx-api-latency": "90"}),
    "pyrra/parca-grpc-queryrange-errors": ("7d", {"parca-grpc-queryrange-errors": "99"}),
    "pyrra/prometheus-http": ("7d", {"prometheus-api-query": "99"}),
    "pyrra/prometheus-operator-http": ("7d", {"prometheus-operator-http": "95"}),
    "pyrra/prometheus-operator": (
        "7d",
        {"prometheus-operator-http-errors": "99.5", "prometheus-operator-reconcile-errors": "95"},
    ),
    "pyrra/prometheus-probe-success": ("7d", {"prometheus-blackbox-probe-success": "99"}),
    "pyrra/prometheus": (
        "7d",
        {
            "prometheus-notification-errors": "99",
            "prometheus-query-errors": "99",
            "prometheus-rule-evaluation-failures": "99.99",
            "prometheus-sd-kubernetes-errors": "99",
        },
    ),
    "pyrra/pyrra-connect": ("7d", {"pyrra-connect-errors": "99"}),
    "pyrra/pyrra-reconciles": (
        "7d",
        {"pyrra-filesystem-errors": "99", "pyrra-kubernetes-errors": "99"},
    ),
    "pyrra/thanos-grpc": ("7d", {"thanos-store": "99.5"}),
    "pyrra/thanos-http": ("28d", {"thanos-query": "99"}),
    "sloth/contrib-denominator-corrected": ("30d", {"slo1": "99.9"}),
    "sloth/contrib-slo-plugins": (
        "30d",
        {
            "requests-availability-info-labels": "99.9",
            "requests-availability-rule-intervals": "99.9",
        },
    ),
    "sloth/getting-started": ("30d", {"requests-availability": "99.9"}),
    "sloth/home-wifi": (
        "30d",
        {"good-wifi-client-satisfaction": "95", "risk-wifi-client-satisfaction": "99.9"},
    ),
    "sloth/kubernetes-apiserver": (
        "30d",
        {"requests-availability": "99.9", "requests-latency": "99"},
    ),
    "sloth/multifile": ("30d", {"requests-availability": "99.99"}),
    "sloth/no-alerts": ("30d", {"http-availability": "99.99"}),
    "sloth/openslo-getting-started": ("30d", {"requests-availability": "99.9"}),
    "sloth/openslo-kubernetes-apiserver": (
        "30d",
        {
            "requests-availability": "99.9",
            "requests-latency-400ms": "99",
            "requests-latency-5s": "99.9",
        },
    ),
    "sloth/plugin-getting-started": ("30d", {"requests-availability": "99.9"}),
    "sloth/raw-home-wifi": ("30d", {"wifi-client-satisfaction": "95"}),
}


def test_every_catalogue_is_expected_and_in_the_table() -> None:
    """None is forgotten, neither here nor in README.md."""
    files = list(FOLDER.glob("*/*.yaml"))
    assert sorted(f"{file.parent.name}/{file.stem}" for file in files) == sorted(EXPECTED)
    assert sorted(set(re.findall(r"`((?:sloth|pyrra)/[\w-]+)\.yaml`", TABLE))) == sorted(EXPECTED)


def test_every_catalogue_names_its_source() -> None:
    """The first line says project, file and licence."""
    for file in FOLDER.glob("*/*.yaml"):
        [first, *_] = file.read_text(encoding="utf-8").splitlines()
        assert re.fullmatch(r"# Facts of (Sloth|Pyrra) .*, examples/.+; Apache-2\.0\.", first), file


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_example_has_the_published_objectives(name: str) -> None:
    """Number and objective of the SLOs are those of the example."""
    plan = load_plan(FOLDER / f"{name}.yaml")
    period, objectives = EXPECTED[name]
    assert plan.period.name == period
    assert {slo.name: slo.objective for slo in plan.slos} == {
        slo: Decimal(percent) / 100 for slo, percent in objectives.items()
    }


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_example_passes_check_and_its_alerts_fire(name: str, tmp_path: Path) -> None:
    """promtool accepts the rules and runs the cases, in which each tier fires for every SLO."""
    catalogue = FOLDER / f"{name}.yaml"
    options = ["--catalogue", str(catalogue), "--out", str(tmp_path)]
    written = CliRunner().invoke(cli, ["generate", *options])
    assert written.exit_code == 0, written.output
    checked = CliRunner().invoke(cli, ["check", *options])  # runs promtool
    assert checked.exit_code == 0, checked.output
    plan = load_plan(catalogue)
    assert plan.tiers or all(slo.muted for slo in plan.slos)
    for tier, fired in slos_that_fire(plan, tmp_path / registry.GENERATED).items():
        assert fired == {slo.name for slo in plan.slos}, tier


def slos_that_fire(plan: Plan, generated: Path) -> dict[str, set[str]]:
    """Return by tier the SLOs for which promtool found a firing burn-rate alert."""
    fired = {}
    for tier in plan.tiers:
        path = generated / promtool_tests.FOLDER / f"{tier.name}.yaml"
        text = path.read_text(encoding="utf-8")
        questions = [
            question
            for test in yaml.safe_load(text)["tests"]
            for question in test["promql_expr_test"]
        ]
        samples = [sample["labels"] for one in questions for sample in one["exp_samples"]]
        fired[tier.name] = {re.findall('"(.*)"', labels)[0] for labels in samples}
    return fired
