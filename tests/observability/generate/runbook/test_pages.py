"""The runbook's pages: an index whose links lead to sections."""

import re

from observability.generate.runbook import pages
from observability.generate.runbook.entries import entries
from observability.spec.plan import Plan

LINK = re.compile(r"\]\(([\w./]+\.md)(?:#([\w.-]+))?\)")
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


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
