"""Notifications in Slack, PagerDuty, a mailbox and a webhook, sent by a real Alertmanager."""

import html
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from observability.generate import alertmanager
from observability.spec import names
from observability.spec.plan import Plan
from observability.spec.schema.policy import IntegrationEntry
from tests.alertmanager_server import AlertmanagerServer, running_alertmanager
from tests.mail_server import MailServer, receiving_mail
from tests.receiver import Receiver, receiving
from tests.waiting import until

HOSTILE = "Does <pod> & *one* of `{{.Names}}` run_away | for $1? \\o/ «ß» </p> 100 %"
ANNOTATIONS = {
    "summary": f"About 12 % of calls failed. {HOSTILE}",
    "description": f"400 of 3200 in the last 5m were bad. {HOSTILE}",
    names.NEXT_STEPS: f"1. Look at the database. 2. {HOSTILE}",
    "runbook_url": "http://localhost:8080/slo/orders.list-availability",
    "dashboard_url": "http://localhost:3000/d/evara-api-slo?var-slo=orders.list-availability&a=b",
    "logs_url": "http://localhost:3000/d/evara-api-logs",
}
ALERT = {
    names.ALERT_NAME: names.BURN_ALERT,
    names.SLO: "orders.list-availability",
    names.SEVERITY: "page",
    names.OWNER: "platform",
}


@dataclass
class Receivers:
    """Stand-ins of the three services and a webhook, and the Alertmanager that sends to them."""

    server: AlertmanagerServer
    webhook: Receiver
    slack: Receiver
    pagerduty: Receiver
    mail: MailServer


@pytest.fixture
def receivers(fast: Plan, tmp_path: Path) -> Iterator[Receivers]:
    """Run Alertmanager with every integration; only the addresses of the services differ."""
    with (
        receiving() as webhook,
        receiving() as slack,
        receiving() as pagerduty,
        receiving_mail() as mail,
    ):
        secrets = {"slack_url": slack.url, "pagerduty_key": "k" * 32}
        for name, text in secrets.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        integrations = {
            "inbox": IntegrationEntry(webhook=webhook.url),
            "slack": fast.policy.integrations["slack"],
            "pagerduty": fast.policy.integrations["pagerduty"],
            "mail": fast.policy.integrations["mail"].model_copy(update={"smarthost": mail.address}),
        }
        page = fast.policy.severities["page"].model_copy(
            update={"integrations": tuple(integrations)}
        )
        changes = {
            "integrations": integrations,
            "severities": fast.policy.severities | {"page": page},
        }
        plan = replace(fast, policy=fast.policy.model_copy(update=changes))
        text = alertmanager.render(plan, frozenset(secrets), str(tmp_path))[alertmanager.CONFIG]
        config = yaml.safe_load(text) | {"global": {"pagerduty_url": pagerduty.url}}
        with running_alertmanager(yaml.safe_dump(config), tmp_path) as server:
            yield Receivers(server, webhook, slack, pagerduty, mail)


def latest(receiver: Receiver) -> dict[str, Any]:
    """Return the newest request that a stand-in got."""
    until(lambda: receiver.sent)
    return dict(receiver.sent[-1].json)


def assert_link_opens(url: str, server: AlertmanagerServer) -> None:
    """Fail unless the URL is one of the server's, which answers."""
    assert url.startswith(f"{server.url}/#/alerts"), url
    assert httpx.get(server.url, follow_redirects=True).status_code != 404


def test_slack_shows_what_a_person_needs(receivers: Receivers) -> None:
    """Title, text and links; nothing of the text is taken for Slack's markup."""
    receivers.server.fire(ALERT, annotations=ANNOTATIONS)
    message = latest(receivers.slack)
    [attachment] = message["attachments"]
    assert attachment["title"] == "[FIRING:1] page: ErrorBudgetBurn orders.list-availability"
    for text in ANNOTATIONS.values():
        assert html.escape(text, quote=False) in attachment["text"]
    assert "text" not in attachment["mrkdwn_in"]
    assert_link_opens(attachment["title_link"], receivers.server)
    receivers.server.resolve(ALERT)
    until(lambda: "[RESOLVED]" in latest(receivers.slack)["attachments"][0]["title"])


def test_pagerduty_shows_what_a_person_needs(receivers: Receivers) -> None:
    """The incident has a summary, details, links and a link to Alertmanager."""
    receivers.server.fire(ALERT, annotations=ANNOTATIONS)
    event = latest(receivers.pagerduty)
    payload = event["payload"]
    assert (event["event_action"], payload["severity"]) == ("trigger", "critical")
    assert ANNOTATIONS["summary"] in payload["summary"]
    for text in ANNOTATIONS.values():
        assert text in payload["custom_details"]["text"]
    assert {link["text"]: link["href"] for link in event["links"]} == {
        "Runbook": ANNOTATIONS["runbook_url"],
        "Dashboard": ANNOTATIONS["dashboard_url"],
        "Logs": ANNOTATIONS["logs_url"],
    }
    assert_link_opens(event["client_url"], receivers.server)


def test_a_mail_shows_what_a_person_needs(receivers: Receivers) -> None:
    """The subject is the title; the text has everything, one link per line."""
    receivers.server.fire(ALERT, annotations=ANNOTATIONS)
    until(lambda: receivers.mail.mails)
    mail = receivers.mail.mails[-1]
    assert mail["Subject"] == "[FIRING:1] page: ErrorBudgetBurn orders.list-availability"
    [part] = [part for part in mail.walk() if not part.is_multipart()]
    assert part.get_content_type() == "text/plain"
    body = part.get_content()
    for text in ANNOTATIONS.values():
        assert text in body
    [link] = [line.removeprefix("Alert: ") for line in body.splitlines() if "Alert: " in line]
    assert_link_opens(link, receivers.server)


def test_a_webhook_gets_all_annotations(receivers: Receivers) -> None:
    """The inbox and other programs read them from the alert itself."""
    receivers.server.fire(ALERT, annotations=ANNOTATIONS)
    message = latest(receivers.webhook)
    assert message["alerts"][0]["annotations"] == ANNOTATIONS
    assert message["externalURL"] == receivers.server.url


@pytest.mark.parametrize("read", [lambda r: r.slack.sent, lambda r: r.pagerduty.sent])
def test_alerts_of_other_programs_are_sent_without_blanks_in_links(
    read: Callable[[Receivers], list[Any]], receivers: Receivers
) -> None:
    """An alert without annotations has links that lead to Alertmanager, and no template error."""
    receivers.server.fire(ALERT)
    until(lambda: read(receivers))
    text = json.dumps(read(receivers)[-1].json)
    assert "<no value>" not in text
    assert '"href": ""' not in text
