"""The documentation page with its files, and the OpenAPI document."""

import json

import pytest
from flask.testing import FlaskClient

from api.platform.http import docs_page
from api.platform.state import app_state
from tests.api.platform.helpers import is_problem


@pytest.mark.parametrize(
    "path",
    ["/docs", "/docs/", *(f"/docs/{file.name}" for file in sorted(docs_page.FILES.iterdir()))],
)
def test_page_and_files_have_a_content_security_policy(client: FlaskClient, path: str) -> None:
    """The app serves every file of the page; the policy allows no other source."""
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["Content-Security-Policy"] == docs_page.POLICY
    assert answer.data


def test_page_refers_only_to_local_files(client: FlaskClient) -> None:
    """No script or style is inline or from another host."""
    page = client.get("/docs").text
    assert "//" not in page.replace("<!doctype", "").replace("http://www.w3.org", "")
    assert "<style" not in page
    for name in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js"):
        assert f"/docs/{name}" in page


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js",
        "..",
        "%2e%2e",
        "..%2fapp.py",
        "%2e%2e%2f%2e%2e%2fapp.py",
        "%2fetc%2fpasswd",
        "..%5capp.py",
        "%00",
        "x" * 5000,
        ".",
    ],
)
def test_other_paths_are_404(client: FlaskClient, name: str) -> None:
    """Missing files and paths outside the folder are not served."""
    is_problem(client.get(f"/docs/{name}"), 404)


def test_openapi_document_is_served(client: FlaskClient) -> None:
    """It is the document that `flask contract` compares."""
    document = json.loads(json.dumps(app_state(client.application).document))
    assert client.get("/openapi.json").get_json() == document
