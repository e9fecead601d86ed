"""Plan → the runbook as Markdown: an index, a page per alert, and a page per route, dependency and job with its SLOs; pure."""

from itertools import groupby

from observability.generate.runbook.entries import ALERT, Entry, entries
from observability.lib.panels import LOGS
from observability.sli.registry import promise
from observability.spec import names
from observability.spec.plan import Plan

INDEX, FOLDER = "runbook.md", "runbook"
HEADER = "<!-- Generated from observability/catalogue.yaml and policy.yaml; mend those, then: make generate -->\n"


def render(plan: Plan) -> dict[str, str]:
    """One file per page."""
    known = entries(plan)
    alerts = [entry for entry in known.values() if entry.kind == ALERT]
    subjects = {
        subject: [known[slo.name] for slo in slos]
        for subject, slos in groupby(
            sorted(plan.slos, key=lambda slo: (slo.subject, slo.name)), key=lambda slo: slo.subject
        )
    }
    pages = {f"{FOLDER}/{entry.name}.md": page(entry.name, [entry]) for entry in alerts}
    pages |= {
        f"{FOLDER}/{subject}.md": page(subject, promises) for subject, promises in subjects.items()
    }
    return {INDEX: index(plan, alerts, subjects), **pages}


def index(plan: Plan, alerts: list[Entry], subjects: dict[str, list[Entry]]) -> str:
    rows = [
        f"| [{entry.name}]({FOLDER}/{entry.name}.md) | {entry.severity} | {entry.owner} | {entry.meaning} |"
        for entry in alerts
    ]
    promises = [
        f"| [{entry.name}]({FOLDER}/{subject}.md#{anchor(entry.name)}) | {entry.owner} | {promise(plan.slo(entry.name))} |"
        for subject, found in subjects.items()
        for entry in found
    ]
    lines = [
        f"{HEADER}# Runbook of {plan.service}",
        "What each alert means and what to do first. An alert carries the address of its page.",
        "## Alerts",
        "\n".join(["| Alert | Severity | Owner | Meaning |", "|---|---|---|---|", *rows]),
        f"## Promises, whose alert is {names.BURN_ALERT}",
        "\n".join(["| SLO | Owner | Promise |", "|---|---|---|", *promises]),
    ]
    return "\n\n".join(lines) + "\n"


def anchor(title: str) -> str:
    """The fragment that Markdown viewers make of a heading."""
    return "".join(
        letter for letter in title.lower() if letter.isalnum() or letter in "-_ "
    ).replace(" ", "-")


def page(title: str, found: list[Entry]) -> str:
    """One page: its entries one below the other, or its single entry under the title."""
    parts = [HEADER + f"# {title}"]
    for entry in found:
        parts += [f"## {entry.name}"] if entry.name != title else []
        parts += [*section(entry)]
    return "\n\n".join(parts) + "\n"


def section(entry: Entry) -> list[str]:
    checks = "\n".join(
        f"{number}. {check.text}\n\n   ```{'logql' if check.source == LOGS else 'promql'}\n   {check.query}\n   ```\n"
        for number, check in enumerate(entry.checks, 1)
    )
    return [
        entry.meaning,
        f"**Users notice:** {entry.users}",
        f"**Owner:** {entry.owner}. **Severity:** {entry.severity}.",
        "**Look first:**\n\n" + checks.rstrip(),
        "**Then:**\n\n"
        + "\n".join(f"{number}. {step}" for number, step in enumerate(entry.steps, 1)),
        f"**It is over when** {entry.over}",
        f"**Drilled by:** {entry.drill}",
    ]
