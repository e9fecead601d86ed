"""The documentation page: Swagger UI from local files, and the OpenAPI document."""

from pathlib import Path

from flask import Blueprint, Response, jsonify, send_from_directory

from api.platform.state import app_state

blueprint = Blueprint("docs", __name__)
FILES = Path(__file__).resolve().parents[2] / "static" / "docs"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; frame-ancestors 'none'"
)


@blueprint.get("/openapi.json")
def openapi() -> Response:
    """Return the OpenAPI document."""
    return jsonify(app_state().document)


@blueprint.get("/docs")
def page() -> Response:
    """Return the page."""
    return file("index.html")


@blueprint.get("/docs/<filename>")
def file(filename: str) -> Response:
    """Return a file of Swagger UI."""
    response = send_from_directory(FILES, filename, max_age=3600)
    response.headers["Content-Security-Policy"] = POLICY
    return response
