"""The runbook as Markdown: an index, a page per alert, and one per subject with its SLOs.

Subjects are routes, dependencies, jobs and the gateway.
"""

import re
from functools import partial

from jinja2 import Environment, StrictUndefined

from observability.generate.runbook.entries import ALERT, RunbookEntry, entries
from observability.lib import escaping
from observability.lib.panels import LOGS
from observability.sli.registry import promise
from observability.spec import names
from observability.spec.plan import Plan

INDEX = "runbook.md"
FOLDER = "runbook"
NAME = re.compile(r"[\w-]+(?:\.[\w-]+)*")
HEADER = (
    "<!-- Generated from observability/catalogue.yaml and policy.yaml; edit those, "
    "then run: make generate -->\n"
)
INDEX_PAGE = """\
# Runbook of {{ service }}

For the engineer on call: what each alert means and what to do. Every alert links to its page.

## Alerts

| Alert | Severity | Owner | Meaning |
|---|---|---|---|
{% for alert in alerts %}
| [{{ alert.name }}](runbook/{{ alert.name }}.md) | {{ alert.severity }} \
| {{ alert.owner }} | {{ alert.meaning | markdown_cell }} |
{% endfor %}

## SLOs

The alert of every SLO is {{ BURN_ALERT }}.

| SLO | Owner | Objective |
|---|---|---|
{% for slo in slos %}
| [{{ slo.name }}](runbook/{{ slo.subject }}.md#{{ slo.name | anchor }}) \
| {{ slo.owner }} | {{ slo | promise }} |
{% endfor %}
"""
PAGE = """\
# {{ title }}
{% for entry in entries %}

{% if entry.name != title %}
## {{ entry.name }}

{% endif %}
{{ entry.meaning | markdown }}

{% if entry.name == BURN_ALERT %}
| Tier | SLOs | Threshold | Severity |
|---|---|---|---|
{% for tier in tiers %}
| {{ tier.name }} | {{ tier.slis | join(", ") }} | \
{% for condition in tier.conditions %}
{% if condition.factor %}burn rate over {{ condition.factor }}\
{% else %}over {{ "%g" % (condition.ratio * 100) }} %{% endif %} \
in {{ condition.window.name }}{{ "" if loop.last else " and " }}\
{% endfor %} | {{ tier.severity }} |
{% endfor %}

{% endif %}
**Users notice:** {{ entry.users | markdown }}

**Owner:** {{ entry.owner }}. **Severity:** {{ entry.severity }}.

**Check first:**

{% set before = entries[:loop.index0] %}
{% set shown = before | sum("checks", ()) %}
{% for check in entry.checks %}
{% if check in shown %}
{{ loop.index }}. {{ check.text | markdown }} See above.

{% else %}
{{ loop.index }}. {{ check.text | markdown }}

   {{ check.query | code_fence }}{{ "logql" if check.source == LOGS else "promql" }}
   {{ check.query | indent(3) }}
   {{ check.query | code_fence }}

{% endif %}
{% endfor %}
{% set alike = before | selectattr("steps", "eq", entry.steps) | map(attribute="name") | first %}
{% if alike is defined %}
**Next steps:** those of {{ alike | link_within }}.
{% else %}
**Next steps:**

{% for step in entry.steps %}
{{ loop.index }}. {{ step | link_slos }}
{% endfor %}
{% endif %}

**Resolved when** {{ entry.over | markdown }}

**Tested by:** {{ entry.drill | markdown }}
{% endfor %}
"""


def render(plan: Plan) -> dict[str, str]:
    """Return path → text of every page."""
    entry_by_name = entries(plan)
    alerts = [entry for entry in entry_by_name.values() if entry.kind == ALERT]
    slos = sorted(plan.slos, key=lambda slo: (slo.subject, slo.name))
    entries_by_page: dict[str, list[RunbookEntry]] = {alert.name: [alert] for alert in alerts}
    for slo in slos:
        entries_by_page.setdefault(slo.subject, []).append(entry_by_name[slo.name])
    environment = Environment(  # noqa: S701 - Markdown
        trim_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
    )
    links = {slo.name: f"[{slo.name}]({slo.subject}.md#{anchor(slo.name)})" for slo in slos}
    environment.filters.update(
        anchor=anchor,
        code_fence=escaping.code_fence,
        link_slos=partial(link_slos, links),
        link_within=lambda name: f"[{name}](#{anchor(name)})",
        markdown=escaping.markdown,
        markdown_cell=escaping.markdown_cell,
        promise=promise,
    )
    environment.globals.update(LOGS=LOGS, BURN_ALERT=names.BURN_ALERT, tiers=plan.tiers)
    page = environment.from_string(HEADER + PAGE)
    index = environment.from_string(HEADER + INDEX_PAGE)
    pages = {
        f"{FOLDER}/{title}.md": page.render(title=title, entries=shown)
        for title, shown in entries_by_page.items()
    }
    return {INDEX: index.render(service=plan.service, alerts=alerts, slos=slos), **pages}


def anchor(title: str) -> str:
    """Return the fragment that Markdown viewers make of a heading."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def link_slos(links: dict[str, str], text: str) -> str:
    """Return a text for Markdown in which each name of an SLO is a link to its section."""

    def plain(part: str) -> str:
        return NAME.sub(lambda name: links.get(name[0], name[0]), escaping.markdown_plain(part))

    return escaping.write(text, plain=plain, code=escaping.code_span)
