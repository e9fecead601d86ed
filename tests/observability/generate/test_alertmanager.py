"""Routes, receivers and inhibition, as Alertmanager's own tool reads them."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from observability.generate import alertmanager
from observability.spec import names
from observability.spec.loading import load_plan
from observability.spec.plan import Plan
from observability.spec.schema.policy import IntegrationEntry

Run = Callable[..., "subprocess.CompletedProcess[str]"]
POLICY = load_plan().policy
SECRETS = frozenset({"slack_url", "pagerduty_key", "deadman_url"})


@pytest.fixture
def config(plan: Plan, tmp_path: Path) -> Path:
    """Return the file of the generated configuration."""
    path = tmp_path / "alertmanager.yaml"
    path.write_text(alertmanager.render(plan)[alertmanager.CONFIG], encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "secrets",
    [frozenset(), SECRETS - {"deadman_url"}],  # Alertmanager 0.25 knows no url_file
    ids=["no secrets", "all secrets"],
)
@pytest.mark.parametrize("clock", ["plan", "fast"])
def test_amtool_accepts_the_configuration(
    clock: str, secrets: frozenset[str], request: pytest.FixtureRequest, amtool: Run, tmp_path: Path
) -> None:
    """With and without secrets, on both clocks, Alertmanager would start with it."""
    for name in secrets:
        (tmp_path / name).write_text("https://hooks.example/x", encoding="utf-8")
    path = tmp_path / "alertmanager.yaml"
    chosen_plan = request.getfixturevalue(clock)
    path.write_text(
        alertmanager.render(chosen_plan, secrets, str(tmp_path))[alertmanager.CONFIG],
        encoding="utf-8",
    )
    result = amtool("check-config", path)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("owner", sorted(POLICY.owners))
@pytest.mark.parametrize("severity", sorted(POLICY.severities))
def test_an_alert_reaches_its_owner_at_its_severity(
    severity: str, owner: str, config: Path, amtool: Run
) -> None:
    """Alertmanager itself routes every pair to the receiver of that name."""
    result = amtool(
        "config",
        "routes",
        "test",
        f"--config.file={config}",
        f"severity={severity}",
        f"owner={owner}",
        "alertname=X",
        "tier=T0",
    )
    assert result.stdout.strip() == f"{owner}-{severity}"


def test_unknown_owner_or_severity_pages_the_service(config: Path, amtool: Run) -> None:
    """An alert with labels that the policy does not know is a page."""
    result = amtool(
        "config", "routes", "test", f"--config.file={config}", "severity=loud", "alertname=X"
    )
    assert result.stdout.strip() == "platform-page"


def test_pages_are_never_grouped_by_tier(plan: Plan) -> None:
    """One incident that climbs through the tiers is one notification."""
    config = yaml.safe_load(alertmanager.render(plan)[alertmanager.CONFIG])
    routes = [config["route"], *config["route"]["routes"]]
    assert [route.get("group_by") for route in routes] == [
        [names.SERVICE, names.ENVIRONMENT, "alertname", names.SLO, names.SEVERITY],
        *[None] * (len(routes) - 1),
    ]


def kinds(plan: Plan, secrets: frozenset[str]) -> dict[str, list[str]]:
    """Return the kinds of each receiver; `deadman` is the webhook that is read from a file."""
    config = yaml.safe_load(alertmanager.render(plan, secrets, "/s")[alertmanager.CONFIG])
    kinds_by_receiver = {}
    for receiver in config["receivers"]:
        name = receiver.pop("name")
        kinds_by_receiver[name] = [
            "deadman" if "url_file" in settings else kind.removesuffix("_configs")
            for kind, listed in receiver.items()
            for settings in listed
        ]
    return kinds_by_receiver


def test_integrations_need_their_secret(plan: Plan) -> None:
    """Inbox and mail always; others when their secret exists and the policy allows them."""
    bare = kinds(plan, frozenset())
    assert {name: receivers for name, receivers in bare.items() if "heartbeat" in name} == {
        "platform-heartbeat": ["webhook"],
        "upstream-heartbeat": ["webhook"],
    }
    assert {tuple(receivers) for name, receivers in bare.items() if "heartbeat" not in name} == {
        ("webhook", "email")
    }
    full = kinds(plan, SECRETS)
    assert full["platform-page"] == ["webhook", "email", "pagerduty"]
    assert full["upstream-page"] == ["webhook", "email"]
    assert full["platform-ticket"] == full["upstream-ticket"] == ["webhook", "email", "slack"]
    assert full["platform-heartbeat"] == ["webhook", "deadman"]
    assert kinds(plan, frozenset({"slack_url"}))["platform-page"] == ["webhook", "email"]


def test_dead_mans_switch_receives_only_the_heartbeat(plan: Plan) -> None:
    """It receives neither pages nor the end of the heartbeat, which would be one more beat."""
    config = yaml.safe_load(alertmanager.render(plan, SECRETS, "/s")[alertmanager.CONFIG])
    heard = {
        receiver["name"]: [
            hook["send_resolved"]
            for hook in receiver.get("webhook_configs", ())
            if hook.get("url_file") == "/s/deadman_url"
        ]
        for receiver in config["receivers"]
    }
    assert {name for name, receivers in heard.items() if receivers} == {
        "platform-heartbeat",
        "upstream-heartbeat",
    }
    assert heard["platform-heartbeat"] == [False]


def test_mail_has_sender_and_server(plan: Plan) -> None:
    """Alertmanager refuses mail without a sender; TLS is required except inside the stack."""
    config = yaml.safe_load(alertmanager.render(plan)[alertmanager.CONFIG])
    [mail] = config["receivers"][0]["email_configs"]
    assert mail["smarthost"] == "mailpit:1025"
    assert not mail["require_tls"]
    assert "@" in mail["from"]
    assert "@" in mail["to"]
    assert IntegrationEntry(email="a@b", sender="c@d", smarthost="mail:587").tls


def test_secrets_are_read_from_files(plan: Plan) -> None:
    """The configuration names the files, so it can be committed."""
    text = alertmanager.render(plan, SECRETS, "/s")[alertmanager.CONFIG]
    assert "api_url_file: /s/slack_url" in text
    assert "routing_key_file: /s/pagerduty_key" in text


def test_page_inhibits_the_ticket_of_its_slo(plan: Plan) -> None:
    """Inhibition compares the SLO; a ticket inhibits no page."""
    rules = yaml.safe_load(alertmanager.render(plan)[alertmanager.CONFIG])["inhibit_rules"]
    alertname = f'alertname="{names.BURN_ALERT}"'
    [burn] = [rule for rule in rules if names.SLO in rule["equal"]]
    assert alertname in burn["source_matchers"]
    assert burn["source_matchers"][0] == 'severity="page"'
    assert burn["target_matchers"][0] == 'severity="ticket"'
    assert burn["equal"] == [names.SERVICE, names.ENVIRONMENT, names.SLO]


def test_alerts_silence_only_those_of_their_service(plan: Plan) -> None:
    """Prod and staging, or two services that need a `database`, may share an Alertmanager."""
    rules = yaml.safe_load(alertmanager.render(plan)[alertmanager.CONFIG])["inhibit_rules"]
    assert len(rules) > len(plan.policy.inhibit)
    for rule in rules:
        assert rule["equal"][:2] == [names.SERVICE, names.ENVIRONMENT]
