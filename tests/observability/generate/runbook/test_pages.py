"""The runbook: every alert and every SLO has a page that says what a person on call needs."""

import re

import pytest

from observability.checks import lint
from observability.generate.runbook import pages
from observability.generate.runbook.entries import entries
from observability.lib.panels import LOGS
from observability.spec.plan import Plan


def test_every_alert_and_every_slo_has_an_entry(plan: Plan) -> None:
    """Nothing can fire that the runbook does not explain."""
    assert set(entries(plan)) == {
        *(
            "ErrorBudgetBurn",
            *(alert.name for alert in plan.alerts),
            *(alert.name for alert in plan.log_alerts),
        ),
        *(slo.name for slo in plan.slos),
    }


def test_an_entry_says_all_that_is_owed(plan: Plan) -> None:
    """Meaning, impact, three checks, steps, owner, drill, and how to know that it is over."""
    for entry in entries(plan).values():
        assert len(entry.checks) == 3, entry.name
        for said in (
            entry.meaning,
            entry.users,
            entry.owner,
            entry.severity,
            entry.steps,
            entry.drill,
            entry.over,
        ):
            assert said, entry.name


def test_every_query_can_be_pasted(plan: Plan) -> None:
    """Queries name series and buckets that exist; those to Loki are marked so."""
    known, edges = lint.known(plan), frozenset(plan.buckets)
    for entry in entries(plan).values():
        for check in entry.checks:
            assert check.source == LOGS or list(lint.expression(check.query, known, edges)) == [], (
                entry.name
            )
            assert ("(Loki)" in check.text) == (check.source == LOGS)
    page = pages.render(plan)["runbook/LogErrorBurst.md"]
    assert (page.count("```logql"), page.count("```promql")) == (2, 1)


def test_silence_is_looked_at_by_its_last_line(plan: Plan) -> None:
    """Where no line comes there are none to read: the question is when the last one came."""
    known = entries(plan)
    assert known["LogSilence"].checks[0].text == "When did the last line come? (Loki)"
    assert known["LogErrorBurst"].checks[0].text == "Which lines are these? (Loki)"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "nodes.list-availability",
            "Requests to nodes.list are answered with an error of the server.",
        ),
        ("nodes.list-latency-200ms", "Answers of nodes.list take longer than 200ms."),
        ("thingspeak-latency-5s", ""),
        (
            "nodes.list-probe",
            "nodes.list cannot be reached from outside: most likely nobody gets an answer.",
        ),
        (
            "database-availability",
            "Nothing by itself; routes that need database become slow, fail, "
            "or answer with what is old.",
        ),
    ],
)
def test_what_users_notice_follows_from_the_promise(plan: Plan, name: str, said: str) -> None:
    """Where the catalogue says nothing, the kind of promise does."""
    known = entries(plan)
    assert name not in known or known[name].users == said


def test_drills_are_named_by_the_kind_of_promise(plan: Plan) -> None:
    """A route's failures are drilled, a dependency's are proven by promtool cases."""
    known = entries(plan)
    assert known["nodes.list-availability"].drill.startswith("make drill D=route-errors")
    assert "promtool" in known["database-availability"].drill
    assert known["TargetDown"].drill == "make drill D=stop-api"


def test_links_of_the_index_lead_somewhere(plan: Plan) -> None:
    """Each link of the index is a page, and its fragment a heading there."""
    files = pages.render(plan)
    links = re.findall(r"\]\(([\w./]+\.md)(?:#([\w.-]+))?\)", files["runbook.md"])
    assert len(links) == len(entries(plan))
    for path, fragment in links:
        headings = [
            pages.anchor(line.removeprefix("## "))
            for line in files[path].splitlines()
            if line.startswith("## ")
        ]
        assert not fragment or fragment in headings, (path, fragment)


def test_alerts_carry_the_address_of_their_page(plan: Plan) -> None:
    """The runbook's and the board's address stand in each alert."""
    from observability.generate import prometheus

    rules = [
        rule for group in prometheus.groups(plan) for rule in group["rules"] if "alert" in rule
    ]
    for rule in rules:
        address = rule["annotations"]["runbook_url"]
        assert address in (
            f"http://localhost:8080/alerts/{rule['alert']}",
            "http://localhost:8080/slo/{{ $labels.slo }}",
        )
        assert rule["annotations"]["dashboard_url"].startswith("http://localhost:3000/d/evara-api-")
