"""Error pages; that of 404 proposes pages with similar names."""

from difflib import get_close_matches

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from observability.console.context import console
from observability.generate.runbook.entries import ALERT

MOST = 6  # proposals
SIMILARITY = 0.6  # 0..1, as difflib measures it


def show_error(error: HTTPException) -> ResponseReturnValue:
    """Return JSON below /api, elsewhere a page."""
    code = error.code or 500
    if request.path.startswith("/api"):
        message = "only /api/inbox is here" if code == 404 else error.description
        return {"error": message}, code
    known = similar_pages(request.path)
    return render_template("missing.html", code=code, known=known), code


def similar_pages(path: str) -> dict[str, str]:
    """Return the URLs of similar pages by name: of the same kind, if there are any, else of all."""
    folder, _, asked = path.rpartition("/")
    pages = known_pages()
    same_kind = {name: url for name, url in pages.items() if url.rpartition("/")[0] == folder}
    for candidates in (same_kind, pages):
        similar = [name for name in candidates if asked and asked in name]
        if not similar:
            similar = get_close_matches(asked, candidates, MOST, SIMILARITY)
        if similar:
            return {name: candidates[name] for name in similar[:MOST]}
    return {}


def known_pages() -> dict[str, str]:
    """Return the URL of every page of an SLO, a route or an alert by its name."""
    queries = console().queries
    alerts = [entry.name for entry in queries.runbook.values() if entry.kind == ALERT]
    names_by_view = {
        "pages.slo": [slo.name for slo in queries.plan.slos],
        "pages.route": queries.plan.route_ids.values(),
        "pages.alert": alerts,
    }
    return {
        name: url_for(view, name=name) for view, found in names_by_view.items() for name in found
    }
