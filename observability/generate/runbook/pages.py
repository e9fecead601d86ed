"""The runbook as Markdown: an index, a page per alert, and one per subject with its SLOs.

Subjects are routes, dependencies, jobs and the gateway.
"""

import re
from collections.abc import Iterable

from observability.generate.runbook.entries import ALERT, Entry, entries
from observability.lib.check import Check
from observability.lib.panels import LOGS
from observability.lib.templates import fill
from observability.sli.registry import promise
from observability.spec.plan import Plan

INDEX = "runbook.md"
FOLDER = "runbook"
HEADER = (
    "<!-- Generated from observability/catalogue.yaml and policy.yaml; edit those, "
    "then run: make generate -->\n"
)
INDEX_PAGE = """\
<<header>># Runbook of <<service>>

For the engineer on call: what each alert means and what to do. Every alert links to its page.

## Alerts

| Alert | Severity | Owner | Meaning |
|---|---|---|---|
<<alerts>>

## SLOs

The alert of every SLO is <<BURN_ALERT>>.

| SLO | Owner | Objective |
|---|---|---|
<<slos>>
"""
SECTION = """\
<<meaning>>

**Users notice:** <<users>>

**Owner:** <<owner>>. **Severity:** <<severity>>.

**Check first:**

<<checks>>

**Next steps:**

<<steps>>

**Resolved when** <<over>>

**Tested by:** <<drill>>
"""
CHECK = """\
<<text>>

   ```<<language>>
   <<query>>
   ```
"""


def render(plan: Plan) -> dict[str, str]:
    """Return path → text of every page."""
    entry_by_name = entries(plan)
    alerts = [entry for entry in entry_by_name.values() if entry.kind == ALERT]
    entries_by_subject: dict[str, list[Entry]] = {}
    for slo in sorted(plan.slos, key=lambda slo: (slo.subject, slo.name)):
        entries_by_subject.setdefault(slo.subject, []).append(entry_by_name[slo.name])
    entries_by_page = {alert.name: [alert] for alert in alerts} | entries_by_subject
    pages = {f"{FOLDER}/{title}.md": page(title, shown) for title, shown in entries_by_page.items()}
    return {INDEX: index(plan, alerts, entries_by_subject), **pages}


def index(plan: Plan, alerts: list[Entry], entries_by_subject: dict[str, list[Entry]]) -> str:
    """Return the page that lists all alerts and all SLOs."""
    alert_rows = []
    for alert in alerts:
        link = f"[{alert.name}]({FOLDER}/{alert.name}.md)"
        alert_rows.append(table_row(link, alert.severity, alert.owner, alert.meaning))
    slo_rows = []
    for subject, slos in entries_by_subject.items():
        for slo in slos:
            link = f"[{slo.name}]({FOLDER}/{subject}.md#{anchor(slo.name)})"
            slo_rows.append(table_row(link, slo.owner, promise(plan.slo(slo.name))))
    return fill(
        INDEX_PAGE,
        header=HEADER,
        service=plan.service,
        alerts="\n".join(alert_rows),
        slos="\n".join(slo_rows),
    )


def table_row(*cells: str) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(cells)} |"


def anchor(title: str) -> str:
    """Return the fragment that Markdown viewers make of a heading."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def page(title: str, shown: list[Entry]) -> str:
    """Return a page with one section per entry; an entry that has the page's title needs none."""
    sections = [HEADER + f"# {title}\n"]
    for entry in shown:
        if entry.name != title:
            sections.append(f"## {entry.name}\n")
        sections.append(section(entry))
    return "\n".join(sections)


def section(entry: Entry) -> str:
    """Return what a person on call needs about one alert or SLO."""
    return fill(
        SECTION,
        meaning=entry.meaning,
        users=entry.users,
        owner=entry.owner,
        severity=entry.severity,
        checks=numbered(map(check_text, entry.checks)).rstrip(),
        steps=numbered(entry.steps),
        over=entry.over,
        drill=entry.drill,
    )


def check_text(check: Check) -> str:
    """Return a question with the query that answers it."""
    language = "logql" if check.source == LOGS else "promql"
    return fill(CHECK, text=check.text, language=language, query=check.query)


def numbered(items: Iterable[str]) -> str:
    """Return a numbered list."""
    return "\n".join(f"{number}. {item}" for number, item in enumerate(items, 1))
