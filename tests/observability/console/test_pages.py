"""The pages: what they say, that they say it of everybody's data safely, and that they open whatever is down."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from observability.console import pages as console
from observability.console.pages import create_app, prose
from observability.devstack.layout import StackLayout
from observability.generate.runbook import entries
from observability.lib import panels
from observability.lib.http import Unreachable
from observability.lib.prometheus import Prometheus
from observability.slo.verdicts import measure
from observability.spec import names
from observability.spec.plan import Plan
from tests.observability.console.conftest import Fake

EVIL = "<script>alert('x')</script>\"' onload=x {{ 7*7 }}"
PAGES = ("/", "/slo/nodes.list-availability", "/routes/nodes.list", "/alerts/TargetDown")
ENTRY = {"startsAt": "2026-01-02T03:04:05Z", "fingerprint": "f1", "status": "firing"}


class Words(HTMLParser):
    """Text and attributes of a page."""

    def __init__(self, page: str):
        super().__init__()
        self.text, self.tags = "", list[tuple[str, dict[str, str | None]]]()
        self.feed(page)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data + " "

    def all(self, tag: str, key: str) -> list[str]:
        return [
            attributes[key] or ""
            for name, attributes in self.tags
            if name == tag and key in attributes
        ]


def read(client: FlaskClient, path: str = "/", code: int = 200) -> Words:
    answer = client.get(path)
    assert answer.status_code == code, answer.text
    return Words(answer.text)


def alert(name: str, severity: str, state: str = "firing", **labels: str) -> dict[str, Any]:
    told = {"alertname": name, "severity": severity, **labels}
    return {
        "labels": told,
        "state": state,
        "activeAt": "2026-01-02T03:04:05Z",
        "annotations": {"summary": "what is wrong"},
    }


def held(name: str, severity: str, state: str = "active", **labels: str) -> dict[str, Any]:
    """As Alertmanager tells of an alert."""
    told = alert(name, severity, **labels)
    return {key: told[key] for key in ("labels", "annotations")} | {
        "startsAt": ENTRY["startsAt"],
        "status": {"state": state},
    }


def deliver(client: FlaskClient, labels: dict[str, str], **changes: Any) -> None:
    entry = ENTRY | {"labels": labels, "annotations": {"summary": "what was wrong"}} | changes
    assert client.post("/api/inbox", json={"receiver": "r", "alerts": [entry]}).status_code == 200


def measured(fake: Fake, plan: Plan, *, bad: float = 0.0, total: float = 1000.0) -> None:
    """Every SLO is measured, with so many events."""
    every = [slo.name for slo in plan.slos]
    fake.samples |= {
        f"{names.BAD} or": [({"slo": name}, 1.0) for name in every],
        names.error_ratio("5m"): [],
        f"increase({names.TOTAL}": [({"slo": name}, total) for name in every],
        f"increase({names.BAD}": [({"slo": name}, bad) for name in every],
    }


def test_slos_are_what_the_command_says(client: FlaskClient, fake: Fake, plan: Plan) -> None:
    """Every SLO is listed with the goal and the verdict of `slo --json`; those that need somebody stand first."""
    measured(fake, plan)
    fake.samples[f"increase({names.BAD}"] = [
        ({"slo": slo.name}, 300.0 * (n % 2)) for n, slo in enumerate(plan.slos)
    ]
    page = read(client)
    shown = dict(zip(page.all("tr", "data-slo"), page.all("tr", "data-verdict"), strict=True))
    rows = measure(plan, Prometheus(f"http://127.0.0.1:{fake.port}"), plan.period)
    assert shown == {row.slo: row.verdict for row in rows}
    assert list(shown.values())[: len(plan.slos) // 2] == ["missed"] * (len(plan.slos) // 2)
    assert f"of {len(plan.slos)} SLOs" in page.text


@pytest.mark.parametrize(
    ("alerts", "bad", "said", "tab"),
    [
        ([], 0.0, "All is calm", "Calm"),
        ([alert("Watchdog", "heartbeat")], 0.0, "All is calm", "Calm"),
        ([alert("X", "page", "pending")], 0.0, "All is calm", "Calm"),
        ([], 900.0, "Nobody is being called, but", "30 missed"),
        ([alert("X", "ticket", slo="s")], 0.0, "1 ticket, nobody is being called", "1 ticket"),
        (
            [alert("X", "ticket"), alert("TargetDown", "page", job="api")],
            0.0,
            "1 page: TargetDown api",
            "1 paging",
        ),
        (
            [alert("X", "page", slo="s", tier=tier) for tier in ("T1", "T2")],
            0.0,
            "1 page: X s",
            "1 paging",
        ),
    ],
)
def test_the_headline_says_who_is_called(
    client: FlaskClient, fake: Fake, plan: Plan, alerts: list[Any], bad: float, said: str, tab: str
) -> None:
    """Pages before tickets, tickets before broken promises; heartbeats are no news, tiers of one burn are one page; so does the tab."""
    measured(fake, plan, bad=bad)
    fake.alerts = alerts
    page = read(client)
    assert said in page.text
    assert page.text.startswith(f"{tab.replace('30', str(len(plan.slos)))} · evara-api")


def test_a_page_that_no_rule_sent_is_a_page(client: FlaskClient, fake: Fake, plan: Plan) -> None:
    """What somebody sent straight to Alertmanager counts in headline, tile and table, once, and has its own page; silenced does not."""
    measured(fake, plan)
    fake.alerts = [alert("TargetDown", "page", job="api"), alert("Early", "page", "pending")]
    fake.held = [
        held("TargetDown", "page", job="api"),
        held("ByHand", "page"),
        held("Hushed", "page", "suppressed"),
    ]
    page = read(client)
    assert "2 pages: ByHand and more" in page.text
    assert "Paging ✗ 2" in page.text
    assert "Firing (2)" in page.text
    assert "Pending (1)" in page.text
    assert "it fires when it lasts" in page.text
    assert "Hushed" not in page.text
    assert "● firing ByHand page" in read(client, "/alerts/ByHand").text
    assert "what is wrong" in read(client, "/alerts/ByHand").text


def test_what_ended_unheard_is_not_open(layout: StackLayout, plan: Plan, fake: Fake) -> None:
    """An alert that nobody holds any more is over though its resolution never came; so is an older bout of one that is held."""
    client = create_app(layout, plan).test_client()
    fake.held = [held("Silenced", "page", "suppressed"), held("Again", "page")]
    fake.alerts = [alert("Restarted", "page")]
    for n, name in enumerate(("Gone", "Silenced", "Restarted", "Again")):
        deliver(client, {"alertname": name, "severity": "page"}, fingerprint=f"f{n}")
    deliver(
        client,
        {"alertname": "Again", "severity": "page"},
        fingerprint="f3",
        startsAt="2026-01-01T00:00:00Z",
    )
    page = read(client)
    assert "○ ended, resolution not delivered Gone" in page.text
    assert all(f"● open {name}" in page.text for name in ("Silenced", "Restarted", "Again"))
    assert page.text.count("resolution not delivered") == 2
    deliver(client, {"alertname": "Fresh", "severity": "page"}, fingerprint="f9")
    assert "● open Fresh" in read(client).text  # Alertmanager was asked before that


def test_an_alert_and_its_promise_are_two_links(client: FlaskClient, fake: Fake) -> None:
    """The alert's name leads to the alert, what it is about to the SLO; every tier that burns is named."""
    name = "nodes.list-availability"
    fake.alerts = [alert("ErrorBudgetBurn", "page", slo=name, tier=tier) for tier in ("T2", "T1")]
    page = read(client, "/alerts/ErrorBudgetBurn")
    assert f"ErrorBudgetBurn page {name} T1, T2" in page.text
    deliver(client, {"alertname": "ErrorBudgetBurn", "slo": name, "severity": "page"})
    links = read(client).all("a", "href")
    assert links.count("/alerts/ErrorBudgetBurn") == 2
    assert links.count(f"/slo/{name}") >= 3


def test_a_spent_budget_is_named(client: FlaskClient, fake: Fake, plan: Plan) -> None:
    """The tile of the smallest budget leads to its SLO; there the budget is spent, and not gone in no time."""
    measured(fake, plan)
    worst = plan.slos[3].name
    fake.samples[f"increase({names.BAD}"] = [({"slo": worst}, 900.0)]
    assert re.search(rf"Smallest budget left ✗ \S+ (\S+ )?% {re.escape(worst)} ", read(client).text)
    assert "Budget gone in ✗ spent" in read(client, f"/slo/{worst}").text
    assert "spent" not in read(client, f"/slo/{plan.slos[4].name}").text.split("Charts")[0]


def test_answers_of_the_runbook_have_their_units(
    client: FlaskClient, fake: Fake, plan: Plan
) -> None:
    """Shares are per cent; no sample and no number are nothing at present."""
    measured(fake, plan)
    fake.samples = {
        names.error_ratio("5m") + "{": [({}, 0.25)],
        names.HTTP_REQUESTS: [({}, float("nan"))],
        **fake.samples,
    }
    text = read(client, "/slo/nodes.list-availability").text
    assert re.search(r"how much of it\? \S+ 25 %", text)
    assert text.count("nothing at present") == 2


def test_routes_are_shown_with_their_numbers(client: FlaskClient, fake: Fake, plan: Plan) -> None:
    """Each route of the catalogue has a row, asked for or not; NaN is no number."""
    fake.samples = {
        names.HTTP_REQUESTS: [({"route": "nodes.list"}, 12.5), ({"route": "docs"}, float("nan"))]
    }
    page = read(client)
    assert "nodes.list 12.5/s – – – –" in page.text
    links = page.all("a", "href")
    assert all(f"/routes/{route.id}" in links for route in plan.routes)
    assert "/routes/docs" not in links


def test_delivered_alerts_are_shown_and_heartbeats_are_not(client: FlaskClient) -> None:
    """An alert leads to its SLO or to its own page, says how long delivery took, and that it is over."""
    deliver(
        client,
        {
            "alertname": "ErrorBudgetBurn",
            "slo": "nodes.list-availability",
            "severity": "page",
            "tier": "T1",
        },
    )
    deliver(
        client,
        {"alertname": "TargetDown", "severity": "page", "job": "api"},
        fingerprint="f2",
        status="resolved",
    )
    deliver(client, {"alertname": "Watchdog", "severity": "heartbeat"}, fingerprint="f3")
    page = read(client)
    assert {"/slo/nodes.list-availability", "/alerts/TargetDown"} <= set(page.all("a", "href"))
    assert "/alerts/Watchdog" not in page.all("a", "href")
    assert "● open ErrorBudgetBurn page nodes.list-availability T1" in page.text
    assert "✓ resolved TargetDown page api" in page.text
    assert "2 delivered" in page.text


def test_an_slo_has_its_numbers_charts_alerts_and_runbook(
    client: FlaskClient, fake: Fake, plan: Plan
) -> None:
    """The page is about this SLO alone, and answers the runbook's questions."""
    measured(fake, plan, bad=1.0)
    for n, name in enumerate(("nodes.list-availability", "nodes.get-availability")):
        deliver(
            client,
            {"alertname": "ErrorBudgetBurn", "slo": name},
            fingerprint=f"f{n}",
            annotations={"summary": f"about {name}"},
        )
    page = read(client, "/slo/nodes.list-availability")
    entry = entries.entries(plan)["nodes.list-availability"]
    assert "99.900 %" in page.text
    assert "about nodes.list-availability" in page.text
    assert "about nodes.get-availability" not in page.text
    assert all(check.text in page.text and check.query in page.text for check in entry.checks)
    assert all(fake.asked[check.query] for check in entry.checks)
    assert len(page.all("img", "alt")) == 4  # the logo and three charts
    assert "/routes/nodes.list" in page.all("a", "href")


def test_a_route_has_its_slos_charts_and_runbooks(
    client: FlaskClient, fake: Fake, plan: Plan
) -> None:
    """Charts are bound to the route as a regular expression; routes without SLO, and the unknown, have a page, too."""
    measured(fake, plan)
    page = read(client, "/routes/nodes.list")
    mine = [slo.name for slo in plan.slos if slo.subject == "nodes.list"]
    assert page.all("tr", "data-slo") == mine
    assert page.all("details", "id") == mine
    assert any("route=nodes%5B.%5Dlist" in address for address in page.all("img", "src"))
    for name in (plan.exempt[0][0], names.UNMATCHED):
        assert "no SLO, limit or runbook" in read(client, f"/routes/{name}").text


def test_an_alert_has_its_runbook_and_its_deliveries(client: FlaskClient, fake: Fake) -> None:
    """What fires now, what it means, when it was delivered; one that the catalogue does not know says so."""
    fake.alerts = [alert("TargetDown", "page", job="api")]
    deliver(client, {"alertname": "TargetDown", "job": "prober"})
    deliver(client, {"alertname": "ByHand"}, fingerprint="f2")
    page = read(client, "/alerts/TargetDown")
    assert "● firing TargetDown page api" in page.text
    assert "Prometheus cannot scrape a process" in page.text
    assert "● open TargetDown prober" in page.text
    assert "ByHand" not in page.text
    assert "somebody sent it by hand" in read(client, "/alerts/ByHand").text


def test_alerts_about_log_lines_are_told_by_loki(
    app: Flask, layout: StackLayout, fake: Fake, plan: Plan
) -> None:
    """Where Loki is, its alerts stand beside those of Prometheus; the runbook's questions about lines are not put to Prometheus."""
    measured(fake, plan)
    fake.log_alerts = [alert("LogSilence", "page", program="api")]
    assert "All is calm" in read(app.test_client()).text
    beside = create_app(
        replace(layout, ports=replace(layout.ports, loki=fake.port)), plan
    ).test_client()
    assert "1 page: LogSilence api" in read(beside).text
    entry = entries.entries(plan)["LogSilence"]
    assert "Users notice" in read(beside, "/alerts/LogSilence").text
    assert [bool(fake.asked[check.query]) for check in entry.checks] == [False, False, True]
    fake.log_alerts = []
    assert (
        "It does not fire now"
        in read(
            create_app(
                replace(layout, ports=replace(layout.ports, loki=fake.port)), plan
            ).test_client(),
            "/alerts/LogSilence",
        ).text
    )
    assert (
        "It is not evaluated: Loki does not run here"
        in read(app.test_client(), "/alerts/LogSilence").text
    )
    assert "It does not fire now" in read(app.test_client(), "/alerts/TargetDown").text


@pytest.mark.parametrize("path", PAGES)
def test_pages_open_while_the_servers_are_down(deaf: FlaskClient, path: str) -> None:
    """They say what is wrong and the mend, and still show inbox or runbook, and no chart."""
    deliver(deaf, {"alertname": "TargetDown", "severity": "page"})
    page = read(deaf, path)
    assert "Prometheus does not answer" in page.text
    assert "make logs P=prometheus" in page.text
    assert "Alertmanager does not answer" in page.text
    assert not [address for address in page.all("img", "src") if address.startswith("/charts")]
    assert (
        "what was wrong" if path in ("/", "/alerts/TargetDown") else "Users notice"
    ) in page.text
    assert deaf.get("/charts/overview/8.svg").status_code == 503


@pytest.mark.parametrize("path", PAGES)
def test_hostile_labels_stay_text(client: FlaskClient, fake: Fake, path: str) -> None:
    """Whatever stands in labels, annotations and series is shown, never run."""
    labels = {
        "alertname": "TargetDown",
        "severity": "page",
        "slo": "nodes.list-availability",
        "job": EVIL,
        "tier": EVIL,
    }
    fake.alerts = [alert("TargetDown", "page", slo=EVIL) | {"annotations": {"summary": EVIL}}]
    fake.samples = {"": [(dict.fromkeys(("route", "slo", "task", "x"), EVIL), 1.0)]}
    deliver(client, labels, annotations={"summary": EVIL})
    deliver(
        client,
        {"alertname": EVIL, "severity": EVIL},
        annotations={"summary": EVIL},
        fingerprint="f2",
    )
    deliver(client, {"alertname": "TargetDown", "slo": "\ud800"}, fingerprint="f3")
    page = read(client, path)
    assert [attributes for tag, attributes in page.tags if tag == "script"] == [
        {"src": "/static/console.js", "defer": None}
    ]
    assert not [attributes for _, attributes in page.tags if "onload" in attributes]
    assert path == "/routes/nodes.list" or EVIL in page.text


def test_every_answer_has_the_strict_policy(client: FlaskClient, fake: Fake, plan: Plan) -> None:
    """Nothing inline, nothing from elsewhere, in no frame; pages obey it."""
    measured(fake, plan)
    for path in (*PAGES, "/nothing", "/api/inbox", "/static/console.css"):
        answer = client.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    for path in PAGES:
        page = read(client, path)
        assert not [
            attributes
            for _, attributes in page.tags
            if "style" in attributes or any(key.startswith("on") for key in attributes)
        ]
        assert {
            address
            for tag, key in (("img", "src"), ("link", "href"), ("script", "src"))
            for address in page.all(tag, key)
            if "//" in address
        } == set()


@pytest.mark.parametrize("path", PAGES)
def test_pages_can_be_read_by_all(client: FlaskClient, fake: Fake, plan: Plan, path: str) -> None:
    """A language, a title, one first heading, landmarks, scoped headers, a text for every picture, ids once."""
    measured(fake, plan)
    fake.alerts = [alert("TargetDown", "page", job="api")]
    deliver(client, {"alertname": "TargetDown", "severity": "page"})
    page = read(client, path)
    tags = [tag for tag, _ in page.tags]
    assert page.all("html", "lang") == ["en"]
    assert [tags.count(tag) for tag in ("title", "h1", "main", "header", "footer")] == [
        1,
        1,
        1,
        1,
        1,
    ]
    assert len(page.all("th", "scope")) == tags.count("th")
    assert len(page.all("img", "alt")) == tags.count("img")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {
        attributes["aria-labelledby"]
        for _, attributes in page.tags
        if "aria-labelledby" in attributes
    } <= set(ids)


def test_charts_are_pictures_in_both_schemes(client: FlaskClient, fake: Fake, plan: Plan) -> None:
    """Every picture that a page refers to exists, wide and narrow, light and dark, under a policy of its own."""
    measured(fake, plan)
    fake.samples = {"": [({"route": "nodes.list", "le": "1", "slo": "s"}, 1.0)]}
    for path in PAGES[:3]:
        page = read(client, path)
        addresses = page.all("source", "srcset") + [
            address for address in page.all("img", "src") if address.startswith("/charts")
        ]
        assert len(addresses) >= 12
        for address in addresses:
            answer = client.get(address)
            assert (answer.status_code, answer.mimetype) == (200, "image/svg+xml"), address
            assert f'width="{360 if "width=360" in address else 640}"' in answer.text
            assert "img-src data:" in answer.headers["Content-Security-Policy"]


def test_every_route_that_is_linked_has_its_charts(client: FlaskClient, fake: Fake) -> None:
    """Also those that the catalogue does not know."""
    fake.samples = {names.HTTP_REQUESTS: [({"route": names.UNMATCHED}, 1.0)]}
    linked = {
        address for address in read(client).all("a", "href") if address.startswith("/routes/")
    }
    assert f"/routes/{names.UNMATCHED}" in linked
    for path in sorted(linked):
        addresses = [
            address
            for address in read(client, path).all("img", "src")
            if address.startswith("/charts")
        ]
        assert addresses
        assert {client.get(address).status_code for address in addresses} == {200}, path


@pytest.mark.parametrize(
    "path",
    [
        "none/1.svg",
        "overview/99.svg",
        "overview/0.svg",
        "logs/0.svg",
        "slo/6.svg?slo=x",
        "routes/2.svg?route=.*",
    ],
)
def test_there_is_no_picture_of_anything_else(client: FlaskClient, fake: Fake, path: str) -> None:
    """Unknown boards, panels that are no picture, and subjects that the catalogue does not know are not asked for."""
    assert client.get(f"/charts/{path}").status_code == 404
    assert not fake.asked


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("/nothing", []),
        ("/zzz/qqqq", []),
        ("/slo/nodes.lst-availability", ["/slo/nodes.list-availability"]),
        ("/slo/nodes.list", ["/slo/nodes.list-probe", "/slo/nodes.list-latency-200ms"]),
        ("/routes/nodes", ["/routes/nodes.list"]),
        ("/alerts/Targetdown", ["/alerts/TargetDown"]),
        ("/alert/TargetDown", ["/alerts/TargetDown"]),
    ],
)
def test_a_page_that_is_not_there_helps(client: FlaskClient, path: str, near: list[str]) -> None:
    """404 with what pages there are, and names that are near: of the same kind if there are any; nothing about numbers."""
    page = read(client, path, 404)
    assert "There is no such page" in page.text
    links = [link for link in page.all("a", "href") if link.count("/") == 2]
    assert set(near) <= set(links)
    assert bool(near) == bool(links)
    assert {link.split("/")[1] for link in links} == {link.split("/")[1] for link in near}
    assert "Numbers are" not in page.text
    assert "refreshes every 10 s if JavaScript is on" in read(client).text


def test_a_page_that_cannot_be_made_says_where_the_reason_is(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 as a page, with the log to read."""
    monkeypatch.setattr(console, "pictures", lambda *_: 1 / 0)
    page = read(app.test_client(), "/", 500)
    assert "make logs P=console" in page.text


def test_many_readers_ask_once(app: Flask, fake: Fake, plan: Plan) -> None:
    """Readers at the same moment, and soon after, share the answers of one."""
    measured(fake, plan)
    fake.delay = 0.05
    with ThreadPoolExecutor(8) as readers:
        pages = list(readers.map(lambda _: app.test_client().get("/").text, range(8)))
    assert all("All is calm" in page for page in pages)
    assert fake.asked.pop("/-/ready") == 2  # Prometheus and Alertmanager
    assert fake.asked.pop("/") <= 4  # looking for their own pages
    assert (
        fake.asked.pop("/api/v2/alerts") == 2
    )  # what Alertmanager holds; it also is its page where it has no other
    assert set(fake.asked.values()) == {1}


def test_many_readers_draw_once(app: Flask, fake: Fake) -> None:
    """A picture is drawn once for all; the other scheme is another picture."""
    address = "/charts/overview/9.svg?theme="
    with ThreadPoolExecutor(4) as readers:
        pictures = set(
            readers.map(lambda _: app.test_client().get(address + "light").text, range(4))
        )
    assert len(pictures) == 1
    assert set(fake.asked.values()) == {1}
    assert app.test_client().get(address + "dark").text not in pictures


def test_slow_answers_are_kept_longer(app: Flask) -> None:
    """What took long is not asked again at once; a failure is remembered, too, and for the usual time alone."""
    answers, asked = app.extensions["console"].answers, list[str]()

    def slow() -> str:
        asked.append("slow")
        time.sleep(0.2)
        return "answer"

    def fail() -> str:
        asked.append("fail")
        time.sleep(0.2)
        raise Unreachable("nobody there")

    for _ in range(2):
        assert answers.once("slow", 0.001, slow) == "answer"
        time.sleep(0.01)
    for _ in range(2):
        with pytest.raises(Unreachable, match="nobody there"):
            answers.once("fail", 60.0, fail)
    assert asked == ["slow", "fail"]
    time.sleep(0.01)
    with pytest.raises(Unreachable):
        answers.once("fail", 0.001, fail)
    assert asked == ["slow", "fail", "fail"]


def test_prose_marks_code_and_nothing_else() -> None:
    """Backticks make code; everything else is escaped."""
    assert prose("run `make <x>` & <b>") == "run <code>make &lt;x&gt;</code> &amp; &lt;b&gt;"


def test_the_style_sheet_has_the_palette(app: Flask) -> None:
    """Colours of verdicts are those of the charts and of Grafana."""
    sheet = (Path(app.static_folder or "") / "console.css").read_text(encoding="utf-8")
    found = dict(re.findall(r"--(\w+): (#[0-9A-F]{6});", sheet))
    palette = {
        "good": panels.GOOD,
        "bad": panels.BAD,
        "warn": panels.WARN,
        "blue": panels.BLUE,
        "idle": panels.GREY,
    }
    assert {name: found[name] for name in palette} == palette


def test_faint_text_can_be_read(app: Flask) -> None:
    """The faint colour has a contrast of 4.5 on everything that lies below it, in both schemes; text is never made transparent."""
    sheet = (Path(app.static_folder or "") / "console.css").read_text(encoding="utf-8")
    assert [line for line in sheet.splitlines() if "opacity" in line] == [
        ".urgent .track { fill: var(--bad); opacity: .3; }"
    ]
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#[0-9A-Fa-f]{6});", part))
        for part in sheet.split("* { box-sizing")[0].split("@media")
    )

    def brightness(colour: str) -> float:
        shares = (int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5))
        linear = [
            share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
            for share in shares
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for scheme in (light, light | dark):
        for below in ("page", "card", "soft", "good-soft", "bad-soft", "warn-soft"):
            one, other = sorted(brightness(scheme[name]) + 0.05 for name in ("faint", below))
            assert other / one >= 4.5, (below, other / one)


def test_long_words_and_foreign_scripts_stay_in_their_place(
    client: FlaskClient, app: Flask, fake: Fake
) -> None:
    """What came from outside may break anywhere, and its writing direction ends with it."""
    fake.alerts = [alert("TargetDown", "page", job="api\u202e"), alert("AboutNothing", "page")]
    text = client.get("/").text
    assert "<bdi>api\u202e</bdi>" in text
    assert '<td class="summary"><bdi>what is wrong</bdi>' in text
    assert '<td data-name="about"></td>' in text  # empty, so that a phone leaves it out
    sheet = (Path(app.static_folder or "") / "console.css").read_text(encoding="utf-8")
    assert re.search(r"\.summary \{[^}]*overflow-wrap: anywhere", sheet)
