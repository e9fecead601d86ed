"""Loki's configuration and rules: what the Plan decides, and what the environment decides."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from observability.generate import loki
from observability.spec import names
from observability.spec.plan import Plan
from tests.observability.compiler_support import SMALL

BURST = "    level: error\n    over: 5m\n    more_than: 20\n"


def config(plan: Plan) -> dict[str, Any]:
    """Return the generated configuration."""
    return dict(yaml.safe_load(loki.render(plan)[loki.CONFIG]))


def rules(plan: Plan) -> dict[str, dict[str, Any]]:
    """Return the generated rules by alert."""
    groups = yaml.safe_load(loki.render(plan)[loki.RULES])["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def test_retention_is_a_day_longer_than_the_period(plan_of: Callable[..., Plan]) -> None:
    """The compactor is enabled, without which nothing is deleted."""
    settings = config(plan_of((("period: 30d", "period: 7d"),)))
    assert settings["limits_config"]["retention_period"] == "192h"
    assert settings["compactor"]["retention_enabled"] is True
    assert (
        settings["compactor"]["delete_request_store"]
        == settings["schema_config"]["configs"][0]["object_store"]
        == "filesystem"
    )


def test_loki_sends_no_statistics_and_adds_no_label(plan: Plan) -> None:
    """Its internal ports listen on the local address only."""
    settings = config(plan)
    assert settings["analytics"] == {"reporting_enabled": False}
    assert settings["limits_config"]["discover_service_name"] == []
    assert (
        settings["server"]["grpc_listen_address"]
        == settings["common"]["instance_addr"]
        == "127.0.0.1"
    )


def test_queries_reach_all_lines_in_memory(plan: Plan) -> None:
    """A chunk may be in memory for a day, so queries reach as far back."""
    settings = config(plan)
    assert settings["ingester"]["max_chunk_age"] == "24h"
    assert settings["querier"]["query_ingesters_within"] == "0s"


def test_expressions_count_or_miss_lines_of_the_service(plan: Plan) -> None:
    """Each kind of entry becomes LogQL over the labels of the named program."""
    lines = '{service="evara-api", program="api"}'
    errors = '{service="evara-api", program="api", level="error"}'
    exceptions = f'{errors} |= "unhandled exception"'
    assert {name: rule["expr"] for name, rule in rules(plan).items()} == {
        "LogErrorBurst": f"sum by (program) (count_over_time({errors} [5m])) > 20",
        "LogUnhandledException": f"sum by (program) (count_over_time({exceptions} [5m])) > 0",
        "LogSilence": f'absent_over_time({lines} |= "evara.access" [10m])',
    }


def test_text_is_quoted_in_expressions(plan_of: Callable[..., Plan]) -> None:
    """Quotes and backslashes in a text are matched literally."""
    changed_plan = plan_of((("    text: unhandled exception\n", "    text: 'say \"hi\" \\d'\n"),))
    assert '|= "say \\"hi\\" \\\\d" [5m]' in rules(changed_plan)["LogUnhandledException"]["expr"]


def test_log_alerts_have_all_labels_and_annotations(plan: Plan) -> None:
    """Severity and owner are labels; summary and numbered next steps are annotations."""
    rule_by_alert = rules(plan)
    assert {alert.name for alert in plan.log_alerts} == set(rule_by_alert)
    for rule in rule_by_alert.values():
        assert rule["labels"][names.SEVERITY] in plan.policy.severities
        assert rule["labels"][names.OWNER] in plan.policy.owners
        assert rule["annotations"]["summary"]
        assert rule["annotations"][names.NEXT_STEPS].startswith("1. ")
    assert {name: rule.get("for") for name, rule in rule_by_alert.items()} == {
        "LogErrorBurst": None,
        "LogUnhandledException": None,
        "LogSilence": "2m",
    }


def test_entry_overrides_the_owner(plan_of: Callable[..., Plan]) -> None:
    """The entry's owner has precedence over the catalogue's."""
    changed_plan = plan_of(((BURST, BURST + "    owner: upstream\n"),))
    assert rules(changed_plan)["LogErrorBurst"]["labels"][names.OWNER] == "upstream"


def test_no_log_alerts_give_an_empty_file(plan_of: Callable[..., Plan]) -> None:
    """A service without the section has a valid, empty file."""
    assert yaml.safe_load(loki.render(plan_of(SMALL))[loki.RULES]) == {"groups": []}


@pytest.mark.parametrize("key", ["http_listen_port", "grpc_listen_port"])
def test_default_ports_are_numbers(key: str, plan: Plan) -> None:
    """A value from the environment is not quoted, so that Loki reads a number."""
    line = next(line for line in loki.render(plan)[loki.CONFIG].splitlines() if key in line)
    assert line.split(": ", 1)[1].startswith("${")


def test_the_committed_rules_are_those_of_the_catalogue() -> None:
    """The file that ships has a rule for each entry."""
    folder = Path(loki.__file__).parents[1]
    entries = yaml.safe_load((folder / "catalogue.yaml").read_text(encoding="utf-8"))["logs"]
    committed = yaml.safe_load((folder / "generated" / loki.RULES).read_text(encoding="utf-8"))
    assert [rule["alert"] for rule in committed["groups"][0]["rules"]] == list(entries)
