"""The runbook's pages: an index whose links lead to sections."""

import re

from observability.generate.runbook import pages
from observability.generate.runbook.entries import entries
from observability.spec.plan import Plan

LINK = re.compile(r"\]\(([\w./-]+\.md)(?:#([\w.-]+))?\)")
HEADING = re.compile(r"^##? (.+)$", re.MULTILINE)


def test_links_of_the_index_lead_somewhere(plan: Plan) -> None:
    """Each link of the index is a page, and its fragment a heading there."""
    files = pages.render(plan)
    links = LINK.findall(files["runbook.md"])
    assert len(links) == len(entries(plan))
    for path, fragment in links:
        anchors = [pages.anchor(heading) for heading in HEADING.findall(files[path])]
        assert not fragment or fragment in anchors, (path, fragment)


def test_queries_are_marked_by_their_language(plan: Plan) -> None:
    """Prometheus and Loki have two languages."""
    page = pages.render(plan)["runbook/LogErrorBurst.md"]
    assert (page.count("```logql"), page.count("```promql")) == (2, 1)


def test_sections_of_a_page_repeat_neither_queries_nor_steps(plan: Plan) -> None:
    """A later section refers to the first that has them; the SLOs of a route share both."""
    page = pages.render(plan)["runbook/orders.list.md"]
    queries = re.findall(r"```promql\n(.+?)```", page, re.DOTALL)
    assert len(queries) == len(set(queries)) >= 6
    assert "How long do successful requests take (p99)? See above." in page
    [first, *_] = [slo.name for slo in plan.slos if slo.subject == "orders.list"]
    assert f"**Next steps:** those of [{first}](#{pages.anchor(first)})." in page
    assert page.count("Is the database answering?") == 1


def test_steps_link_to_the_section_of_an_slo(plan: Plan) -> None:
    """The name of an SLO in a next step links to a heading of its page."""
    files = pages.render(plan)
    links = LINK.findall(files["runbook/orders.list.md"])
    assert ("database.md", "database-availability") in links
    headings = HEADING.findall(files["runbook/database.md"])
    assert "database-availability" in [pages.anchor(heading) for heading in headings]


def test_the_page_of_the_burn_rate_alert_lists_the_tiers(plan: Plan) -> None:
    """Each tier has a row with its windows, thresholds and severity."""
    page = pages.render(plan)["runbook/ErrorBudgetBurn.md"]
    assert "| T0 | availability | over 90 % in 1m | page |" in page
    assert "burn rate over 14.4 in 30m and burn rate over 7.2 in 5m | page |" in page


def test_pages_about_a_dependency_list_what_needs_it(plan: Plan) -> None:
    """The page of its SLOs, and that of an alert about it."""
    files = pages.render(plan)
    for page in ("database", "DatabaseDown"):
        for subject in plan.dependents("database"):
            assert subject in files[f"runbook/{page}.md"], page
    [route, *_] = plan.routes
    assert "Needed by" not in files[f"runbook/{route.id}.md"]
