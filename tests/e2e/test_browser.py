"""Both pages of the stack in a real browser.

They work under their strict policies, and ask nobody else for anything.
"""

import uuid
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from playwright.sync_api import Browser

from observability.checks.contract import list_operations
from observability.devstack.layout import DEVELOPMENT_KEY
from observability.generate.registry import read_contract
from tests.e2e.conftest import Stack, Watched
from tests.e2e.waiting import eventually

PAGES = ("/", "/slo/nodes.list-availability", "/routes/nodes.list", "/alerts/TargetDown")


def test_docs_render_under_the_strict_policy(stack: Stack, watched: Watched) -> None:
    """/docs shows every operation and sends the key of the Authorize dialog.

    It logs no console error and requests nothing from other hosts.
    """
    watched.page.goto(stack.layout.url("api") + "/docs")
    watched.page.get_by_text("Store up to 1 000 readings").wait_for()
    assert watched.page.locator(".opblock").count() == len(list_operations(read_contract()))
    watched.page.get_by_role("button", name="Authorize").click()
    watched.page.get_by_label("auth-bearer-value").fill(DEVELOPMENT_KEY)
    watched.page.get_by_role("button", name="Apply credentials").click()
    watched.page.get_by_role("button", name="Close").click()
    watched.page.get_by_text("List nodes by id, all or of one kind").click()
    watched.page.get_by_role("button", name="Try it out").click()
    watched.page.get_by_role("button", name="Execute").click()
    watched.page.get_by_text('"hill-tank"').first.wait_for()
    assert watched.complaints == []
    assert watched.elsewhere(stack.layout.url("api")) == set()


@pytest.mark.parametrize("path", PAGES)
def test_the_console_renders_under_the_strict_policy(
    stack: Stack, watched: Watched, path: str
) -> None:
    """Each page has its heading and all of its pictures.

    It logs no console error and requests nothing from other hosts.
    """
    watched.page.goto(stack.layout.url("console") + path, wait_until="networkidle")
    assert watched.page.get_by_role("heading", level=1).count() == 1
    widths = watched.page.eval_on_selector_all(
        "img", "images => images.map(image => image.naturalWidth)"
    )
    assert all(widths), widths
    assert len(widths) >= (1 if path.startswith("/alerts") else 4)  # the logo and charts
    assert watched.complaints == []
    assert watched.elsewhere(stack.layout.url("console")) == set()


def test_the_console_judges_as_the_command_does(stack: Stack, watched: Watched) -> None:
    """Names, goals and verdicts of the page are those of `slo --json`."""

    def same() -> bool:
        watched.page.goto(stack.layout.url("console"))
        rows = watched.page.eval_on_selector_all(
            "tr[data-slo]", "rows => rows.map(row => Object.assign({}, row.dataset))"
        )
        shown = {row["slo"]: (float(row["goal"]), row["verdict"]) for row in rows}
        told = {row["slo"]: (row["objective"], row["verdict"]) for row in stack.json("slo")["slos"]}
        return shown == told and len(told) == len(stack.layout.plan().slos)

    assert eventually(same)


def test_an_alert_appears_and_is_resolved_while_one_looks(stack: Stack, watched: Watched) -> None:
    """An alert that reached the inbox is shown within seconds, without a reload; so is its end."""
    name = f"Browser{uuid.uuid4().hex[:8]}"
    watched.page.goto(stack.layout.url("console"))
    row = watched.page.locator(".inbox tr", has_text=name)
    assert row.count() == 0
    watched.page.evaluate("window.untouched = true")
    send(stack, name, timedelta(minutes=5))
    row.get_by_text("open").wait_for(timeout=40_000)
    assert "hand" in row.inner_text()
    send(stack, name, timedelta(0))
    row.get_by_text("resolved").wait_for(timeout=90_000)
    assert watched.page.evaluate("window.untouched")
    row.get_by_role("link").click()
    assert watched.page.get_by_role("heading", level=1).inner_text() == name
    assert watched.complaints == []


def send(stack: Stack, name: str, length: timedelta) -> None:
    """An alert by hand, as a rule would send it; without length it is over."""
    now = datetime.now(UTC)
    labels = {"alertname": name, "severity": "page", "owner": "platform"}
    span = {
        "startsAt": (now - timedelta(seconds=1)).isoformat(),
        "endsAt": (now + length).isoformat(),
    }
    alert = {"labels": labels, "annotations": {"summary": "sent by hand"}, **span}
    httpx.post(f"{stack.layout.url('alertmanager')}/api/v2/alerts", json=[alert]).raise_for_status()


def test_where_one_reads_stays_while_the_page_looks_again(stack: Stack, watched: Watched) -> None:
    """A refresh keeps the scroll position and the focus, and brings newer numbers."""
    page = watched.page
    page.goto(stack.layout.url("console"))
    page.get_by_role("link", name="nodes.list-probe").first.focus()
    page.evaluate("window.scrollTo(0, 300)")
    page.wait_for_function("() => window.scrollY === 300")
    before = page.evaluate(
        "window.old = document.querySelector('main'), document.querySelector('.headline').innerText"
    )
    page.wait_for_function("() => window.old !== document.querySelector('main')", timeout=30_000)
    assert page.evaluate("window.scrollY") == 300
    assert page.evaluate("document.activeElement.innerText") == "nodes.list-probe"
    assert page.locator(".headline").inner_text() != before  # it says the time


def test_a_console_that_is_gone_is_noticed(stack: Stack, watched: Watched) -> None:
    """A page whose console does not answer any more says that its numbers are old."""
    watched.page.goto(stack.layout.url("console"))
    watched.page.route("**/*", lambda route: route.abort())
    watched.page.get_by_text("The console does not answer").wait_for(timeout=30_000)
    watched.page.unroute("**/*")
    watched.page.get_by_text("The console does not answer").wait_for(state="hidden", timeout=30_000)


@pytest.mark.parametrize("path", PAGES)
def test_a_phone_needs_no_sideways_scrolling_and_no_script(
    stack: Stack, browser: Browser, path: str
) -> None:
    """At 390 pixels, without JavaScript, in the dark.

    Everything is there and nothing is wider than the screen.
    """
    phone = browser.new_context(
        viewport={"width": 390, "height": 844}, java_script_enabled=False, color_scheme="dark"
    )
    page = phone.new_page()
    page.goto(stack.layout.url("console") + path, wait_until="networkidle")
    assert page.get_by_role(
        "heading", name="Inbox" if path == "/" else "Runbook"
    ).is_visible() or path.startswith("/alerts")
    assert page.get_by_role("heading", level=1).is_visible()
    width = page.evaluate("document.documentElement.scrollWidth")
    phone.close()
    assert width <= 390


def test_a_silent_prometheus_costs_a_moment(stack: Stack, watched: Watched) -> None:
    """While Prometheus hangs the page says so, opens, and is whole again afterwards."""
    with stack.halted("prometheus"):
        assert eventually(
            lambda: (
                "Prometheus does not answer"
                in httpx.get(stack.layout.url("console"), timeout=30).text
            )
        )
        watched.page.goto(stack.layout.url("console") + "/alerts/TargetDown")
        assert watched.page.get_by_text("Users notice", exact=True).is_visible()
    assert eventually(
        lambda: (
            "Prometheus does not answer"
            not in httpx.get(stack.layout.url("console"), timeout=30).text
        )
    )
