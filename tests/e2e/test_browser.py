"""The API's own page in a real browser: it works under its strict policy, and asks nobody else for anything."""

from playwright.sync_api import Page

from tests.e2e.conftest import Stack


def test_docs_render_under_the_strict_policy(stack: Stack, page: Page) -> None:
    """/docs shows every operation, without console errors and without a request to elsewhere."""
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(stack.site.url("api") + "/docs")
    page.get_by_text("Store up to 1 000 readings").wait_for()
    assert page.locator(".opblock").count() == 8
    assert complaints == []
    assert {url for url in asked if not url.startswith((stack.site.url("api"), "data:"))} == set()
