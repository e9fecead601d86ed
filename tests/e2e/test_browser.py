"""The documentation page and the console in a real browser, under their strict policies."""

import uuid
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from playwright.sync_api import Browser

from observability.checks.contract import list_operations
from observability.devstack.layout import DEVELOPMENT_KEY
from observability.generate.registry import read_contract
from observability.lib.alerts import fetch_delivered_alerts
from observability.lib.prometheus import Prometheus
from tests.e2e.conftest import EVIL_HOST, PageRecorder, Stack
from tests.e2e.waiting import eventually
from tests.serving import serving

OUR_SERVERS = ("api", "console", "metrics", "prober", "replay")
# A request of a page: the status of the answer, unless the browser withholds it from the page.
FETCH = """
async ([url, options]) => {
  try {
    return (await fetch(url, options)).status;
  } catch (error) {
    return "refused";
  }
}
"""
PAGES = ("/", "/slo/nodes.list-availability", "/routes/nodes.list", "/alerts/TargetDown")


def test_docs_render_under_the_strict_policy(stack: Stack, recorder: PageRecorder) -> None:
    """/docs shows every operation and sends the key of the Authorize dialog.

    It logs no console error and requests nothing from other hosts.
    """
    recorder.page.goto(stack.layout.url("api") + "/docs")
    recorder.page.get_by_text("Store up to 1 000 readings").wait_for()
    assert recorder.page.locator(".opblock").count() == len(list_operations(read_contract()))
    recorder.page.get_by_role("button", name="Authorize").click()
    recorder.page.get_by_label("auth-bearer-value").fill(DEVELOPMENT_KEY)
    recorder.page.get_by_role("button", name="Apply credentials").click()
    recorder.page.get_by_role("button", name="Close").click()
    recorder.page.get_by_text("List nodes by id, all or of one kind").click()
    recorder.page.get_by_role("button", name="Try it out").click()
    recorder.page.get_by_role("button", name="Execute").click()
    recorder.page.get_by_text('"hill-tank"').first.wait_for()
    assert recorder.errors == []
    assert recorder.requests_to_other_hosts(stack.layout.url("api")) == set()


class BlankPage(BaseHTTPRequestHandler):
    """A page of another origin."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def test_pages_of_other_origins_can_write_and_read_nothing(
    stack: Stack, recorder: PageRecorder
) -> None:
    """A browser sends simple requests of any page; servers refuse them and show no answer."""
    url = stack.layout.url
    notification = '{"receiver": "x", "alerts": [{"labels": {"alertname": "Evil"}}]}'
    node = '{"id": "evil", "name": "Evil", "kind": "water_tank"}'
    simple_requests = {
        url("console") + "/api/inbox": notification,
        url("replay") + "/control": '{"mode": "fail", "seconds": 60}',
        url("api") + "/api/v1/nodes": node,
        url("prometheus") + "/-/quit": "",
        url("prometheus") + "/api/v1/admin/tsdb/delete_series?match[]=up": "",
    }
    key = {"Authorization": f"Bearer {DEVELOPMENT_KEY}", "Content-Type": "application/json"}
    with_key = {"method": "POST", "headers": key, "body": node}
    read = [url(name) + "/metrics" for name in ("metrics", "prober")]
    read += [url("prometheus") + "/api/v1/query?query=up", url("console") + "/api/inbox"]
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), BlankPage)) as other_origin:
        recorder.page.goto(f"http://127.0.0.1:{other_origin.server_port}/")
        for address, body in simple_requests.items():
            options = {"method": "POST", "mode": "no-cors", "body": body}
            recorder.page.evaluate(FETCH, [address, options])
        nodes = url("api") + "/api/v1/nodes"
        assert recorder.page.evaluate(FETCH, [nodes, with_key]) == "refused"
        answers = [recorder.page.evaluate(FETCH, [address, {}]) for address in read]
    assert answers == ["refused"] * len(read)
    assert simple_requests.keys() <= set(recorder.requested_urls)
    delivered = fetch_delivered_alerts(url("console"))
    assert "Evil" not in {alert["labels"]["alertname"] for alert in delivered}
    assert httpx.get(url("replay") + "/control").json()["mode"] == "ok"
    assert "evil" not in {node["id"] for node in stack.get("/api/v1/nodes/").json()["items"]}
    assert Prometheus(url("prometheus")).query("up")


@pytest.mark.parametrize("name", OUR_SERVERS)
def test_rebound_names_reach_no_server(stack: Stack, recorder: PageRecorder, name: str) -> None:
    """A page whose name resolves to this machine is of the server's origin, but is refused."""
    recorder.page.set_extra_http_headers({"Authorization": f"Bearer {DEVELOPMENT_KEY}"})
    for path in ("/", "/api/v1/nodes", "/api/inbox", "/metrics", "/control"):
        answer = recorder.page.goto(f"http://{EVIL_HOST}:{stack.layout.ports[name]}{path}")
        assert answer
        assert answer.status == 400


@pytest.mark.parametrize("path", PAGES)
def test_console_renders_under_the_strict_policy(
    stack: Stack, recorder: PageRecorder, path: str
) -> None:
    """Each page has its heading and images, logs no error and requests no other host."""
    recorder.page.goto(stack.layout.url("console") + path, wait_until="networkidle")
    assert recorder.page.get_by_role("heading", level=1).count() == 1
    widths = recorder.page.eval_on_selector_all(
        "img", "images => images.map(image => image.naturalWidth)"
    )
    assert all(widths), widths
    assert len(widths) >= (1 if path.startswith("/alerts") else 4)  # the logo and charts
    assert recorder.errors == []
    assert recorder.requests_to_other_hosts(stack.layout.url("console")) == set()


def test_console_and_slo_command_agree(stack: Stack, recorder: PageRecorder) -> None:
    """Names, objectives and verdicts of the page are those of `slo --json`."""

    def page_matches_command() -> bool:
        """Return whether the page and the command have the same objectives and verdicts."""
        recorder.page.goto(stack.layout.url("console"))
        rows = recorder.page.eval_on_selector_all(
            "tr[data-slo]", "rows => rows.map(row => Object.assign({}, row.dataset))"
        )
        shown = {row["slo"]: (float(row["objective"]), row["verdict"]) for row in rows}
        expected = {
            row["slo"]: (row["objective"], row["verdict"]) for row in stack.json("slo")["slos"]
        }
        return shown == expected and len(expected) == len(stack.layout.plan().slos)

    assert eventually(page_matches_command)


def test_alerts_appear_and_resolve_without_a_reload(stack: Stack, recorder: PageRecorder) -> None:
    """The open page shows an alert of the inbox, and its end, within seconds."""
    name = f"Browser{uuid.uuid4().hex[:8]}"
    recorder.page.goto(stack.layout.url("console"))
    row = recorder.page.locator(".inbox tr", has_text=name)
    assert row.count() == 0
    recorder.page.evaluate("window.untouched = true")
    send_alert(stack, name, timedelta(minutes=5))
    row.get_by_text("open").wait_for(timeout=40_000)
    assert "hand" in row.inner_text()
    send_alert(stack, name, timedelta(0))
    row.get_by_text("resolved").wait_for(timeout=90_000)
    assert recorder.page.evaluate("window.untouched")
    row.get_by_role("link").click()
    assert recorder.page.get_by_role("heading", level=1).inner_text() == name
    assert recorder.errors == []


def send_alert(stack: Stack, name: str, length: timedelta) -> None:
    """Send an alert to Alertmanager, as a rule would; without length it is over."""
    now = datetime.now(UTC)
    labels = {"alertname": name, "severity": "page", "owner": "platform"}
    span = {
        "startsAt": (now - timedelta(seconds=1)).isoformat(),
        "endsAt": (now + length).isoformat(),
    }
    alert = {"labels": labels, "annotations": {"summary": "sent by hand"}, **span}
    httpx.post(f"{stack.layout.url('alertmanager')}/api/v2/alerts", json=[alert]).raise_for_status()


def test_refresh_keeps_scroll_position_and_focus(stack: Stack, recorder: PageRecorder) -> None:
    """A refresh keeps the scroll position and the focus, and shows newer numbers."""
    page = recorder.page
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
    assert page.locator(".headline").inner_text() != before  # it shows the time


def test_page_shows_that_the_console_is_unreachable(stack: Stack, recorder: PageRecorder) -> None:
    """A page whose console no longer responds says so, until it responds again."""
    recorder.page.goto(stack.layout.url("console"))
    recorder.page.route("**/*", lambda route: route.abort())
    recorder.page.get_by_text("The console does not answer").wait_for(timeout=30_000)
    recorder.page.unroute("**/*")
    recorder.page.get_by_text("The console does not answer").wait_for(
        state="hidden", timeout=30_000
    )


@pytest.mark.parametrize("path", PAGES)
def test_console_fits_a_phone_without_javascript(stack: Stack, browser: Browser, path: str) -> None:
    """In 390 pixels, dark and without JavaScript, everything is there and nothing is wider."""
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


@pytest.mark.parametrize("path", PAGES)
def test_texts_fit_their_tiles(stack: Stack, browser: Browser, path: str) -> None:
    """A value of several words does not cover the next tile, as in "12.34 min of 30d"."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(stack.layout.url("console") + path, wait_until="networkidle")
    page.evaluate("document.querySelectorAll('.tile dd').forEach(one => one.append(' of words'))")
    covering = page.evaluate(
        "[...document.querySelectorAll('.tile dd')]"
        ".filter(one => one.scrollWidth > one.clientWidth).map(one => one.textContent)"
    )
    page.close()
    assert not covering


def test_console_responds_while_prometheus_hangs(stack: Stack, recorder: PageRecorder) -> None:
    """While Prometheus hangs the page says so and opens; afterwards it is complete again."""
    with stack.paused("prometheus"):
        assert eventually(
            lambda: (
                "Prometheus does not answer"
                in httpx.get(stack.layout.url("console"), timeout=30).text
            )
        )
        recorder.page.goto(stack.layout.url("console") + "/alerts/TargetDown")
        assert recorder.page.get_by_text("Users notice", exact=True).is_visible()
    assert eventually(
        lambda: (
            "Prometheus does not answer"
            not in httpx.get(stack.layout.url("console"), timeout=30).text
        )
    )
