"""The report of a load run: its verdict, its files, its page, and what it does without the server's side; and comparisons."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from observability.devstack.layout import Ports, StackLayout
from observability.lib.http import Unreachable
from observability.load import compare, report, server_counts
from observability.load import run as load_run
from observability.load.report import EXIT_CODES, Verdict
from observability.spec.plan import Plan

HOSTILE = "nodes.list: 500 <script>alert(1)</script><img src=//evil.example/x>"
FIGURES = {
    "requests": 100,
    "failed": 0,
    "rate": 10.0,
    "p50": 0.01,
    "p90": 0.02,
    "p95": 0.03,
    "p99": 0.04,
}


def told(verdict: str = "met", **changes: Any) -> dict[str, Any]:
    """What Locust brings back of one route."""
    objective = {
        "slo": "nodes.list-availability",
        "objective": 0.999,
        "measured": 1.0,
        "good": 100,
        "total": 100,
        "verdict": verdict,
    }
    route = {
        "route": "nodes.list",
        "expect": [200],
        "within": 0.2,
        "sent": 100,
        "answered": 100,
        "clients": FIGURES,
    }
    return {
        "started": 1000.0,
        "ended": 1010.0,
        "total": FIGURES,
        "routes": [route],
        "objectives": [objective],
        "errors": [{"what": HOSTILE, "count": 3}],
    } | changes


def counted(requests: int = 100, start: float = 995) -> server_counts.Counted:
    buckets = {("nodes.list", "0.05"): float(requests), ("nodes.list", "+Inf"): float(requests)}
    codes = {("nodes.list", "200"): float(requests)}
    return server_counts.Counted(
        start, 1015, {"codes": codes, "buckets": buckets, "probes": {}, "total": {}, "bad": {}}
    )


ORDER = load_run.Order(20, 50, "10s", "http://127.0.0.1:8000")


@pytest.mark.parametrize(
    ("objective", "requests", "silent", "alone", "verdict", "words"),
    [
        (
            "met",
            100,
            "",
            "",
            Verdict.MET,
            "All 1 objectives that had traffic met, and clients and server agree.",
        ),
        (
            "missed",
            100,
            "",
            "",
            Verdict.MISSED,
            "1 of 1 objectives missed, and clients and server agree.",
        ),
        ("met", 150, "", "", Verdict.DISAGREE, "disagree on 1 number, by more than their error"),
        ("missed", 150, "", "", Verdict.DISAGREE, "By the clients' count 1 of 1 objectives missed"),
        ("met", None, "no scrape", "", Verdict.UNKNOWN, "the server's side is missing: no scrape"),
        ("met", None, "", "elsewhere", Verdict.MET, "by the clients' count alone"),
        ("idle", None, "", "elsewhere", Verdict.UNKNOWN, "No request was measured."),
    ],
)
def test_the_verdict_says_why(
    objective: str, requests: int | None, silent: str, alone: str, verdict: Verdict, words: str
) -> None:
    """Disagreement goes before any verdict, and without the server's side nobody can tell."""
    made = report.put_together(
        ORDER, told(objective), counted(requests) if requests else None, silent, alone
    )
    assert made["verdict"] == verdict
    assert words in made["summary"]
    assert (
        EXIT_CODES[made["verdict"]] == {"met": 0, "missed": 1, "disagree": 1, "unknown": 2}[verdict]
    )


def test_both_sides_stand_beside_each_other() -> None:
    """The server's rate is over the clients' time, so that the two can be compared; the whole can be written as JSON."""
    made = json.loads(
        json.dumps(report.put_together(ORDER, told(), counted(90), "", ""), allow_nan=False)
    )
    row = made["routes"][0]
    assert (row["clients"]["rate"], row["server"]["rate"]) == (10, 9)
    assert made["total"]["server"]["requests"] == 90
    assert (
        made["findings"][0]["text"]
        == "nodes.list, requests: clients 100, server 90; the server's must be 100."
    )
    assert (made["run"]["started"], made["run"]["seconds"]) == ("1970-01-01T00:16:40+00:00", 10)


def test_a_run_without_any_request_divides_by_nothing() -> None:
    """No time has passed and nothing was counted; there is still a report."""
    made = report.put_together(ORDER, told(ended=1000.0), counted(0), "", "")
    assert made["total"]["server"]["rate"] == 0


def test_folders_never_collide(tmp_path: Path) -> None:
    """Two runs of the same second have a folder each, named by the time."""
    first, second, third = (report.new_folder(tmp_path / "reports") for _ in range(3))
    assert len({first, second, third}) == 3
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ(-\d)?", second.name)


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, plan: Plan
) -> Callable[..., tuple[dict[str, Any], Path]]:
    """A run whose Locust and Prometheus answer as they are told."""

    def go(
        host: str = "http://localhost:8000/",
        sample: Any = None,
        watched: Any = None,
        locust: Any = None,
    ) -> tuple[dict[str, Any], Path]:
        def raising(answer: Any) -> Any:
            if isinstance(answer, BaseException):
                raise answer
            return answer

        samples = iter(sample or (server_counts.Sample(995, {}), server_counts.Sample(1015, {})))
        monkeypatch.setattr(load_run.Order, "check", lambda *_: 10.0)
        monkeypatch.setattr(load_run, "run_locust", lambda *_: raising(locust or told()))
        monkeypatch.setattr(server_counts, "sample", lambda *_: raising(next(samples)))
        monkeypatch.setattr(server_counts, "between", lambda *_: counted())
        monkeypatch.setattr(server_counts, "watched", lambda *_: raising(watched or {}))
        monkeypatch.setattr(report, "draw", lambda *_: [])
        order = load_run.Order(20, 50, "10s", host)
        return report.run_load(
            StackLayout(tmp_path, Ports(), tmp_path),
            plan,
            order,
            tmp_path / "reports",
            lambda _: None,
        )

    return go


GONE = Unreachable("Prometheus does not answer; start the stack with: make up")


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ({"sample": [GONE]}, "does not answer"),
        ({"sample": [server_counts.Sample(995, {}), GONE]}, "does not answer"),
        ({"watched": GONE}, "does not answer"),
    ],
    ids=["before", "after", "while asking for more"],
)
def test_without_the_server_there_is_a_report_and_no_verdict(
    run: Callable[..., tuple[dict[str, Any], Path]], answers: dict[str, Any], why: str
) -> None:
    """The clients' side is written whenever it is there, and says why the other one is missing."""
    made, folder = run(**answers)
    assert made["verdict"] == "unknown"
    assert why in made["summary"]
    assert json.loads((folder / "report.json").read_text()) == made
    assert "Could not tell" in (folder / "index.html").read_text()


def test_another_host_has_the_clients_side_alone(
    run: Callable[..., tuple[dict[str, Any], Path]],
) -> None:
    """Nobody asks this Prometheus about an API that it does not watch."""
    made, _ = run("http://elsewhere.example", sample=[AssertionError("asked")])
    assert (made["verdict"], made["total"]["server"], made["routes"][0]["server"]) == (
        "met",
        None,
        None,
    )
    assert made["server"]["missing"].startswith(
        "http://elsewhere.example is not the API of make up"
    )


def test_the_own_api_is_known_by_each_of_its_names(
    run: Callable[..., tuple[dict[str, Any], Path]],
) -> None:
    """localhost and a slash at the end make no stranger."""
    assert run("http://localhost:8000/")[0]["total"]["server"] is not None
    assert run("http://127.0.0.1:8000")[0]["total"]["server"] is not None
    assert run("http://127.0.0.1:8001")[0]["total"]["server"] is None


def test_a_broken_run_leaves_no_folder(
    run: Callable[..., tuple[dict[str, Any], Path]], tmp_path: Path
) -> None:
    """Half a report would be taken for a whole one."""
    with pytest.raises(load_run.Failed):
        run(locust=load_run.Failed("boom"))
    assert list((tmp_path / "reports").iterdir()) == []


def test_the_page_escapes_and_asks_nobody(run: Callable[..., tuple[dict[str, Any], Path]]) -> None:
    """What the API answered is text, not markup; no script, no address of elsewhere."""
    page = (run()[1] / "index.html").read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page
    assert re.findall(r"<img[^>]*>|<link[^>]*>|@import|url\(", page) == []
    assert "default-src 'none'" in page


def test_the_page_marks_what_disagrees() -> None:
    """Words, a sign in the cell, and no colour alone."""
    made = report.put_together(ORDER, told(), counted(150), "", "") | {"period": "30d"}
    page = report.page("report.html", report=made, pictures=[])
    assert "The two sides disagree" in page
    assert "Somebody else called during the run" in page
    assert page.count('<td class="off ') == 2
    assert "≠" in page


# --- two reports ------------------------------------------------------------------------------------------------


def test_a_comparison_names_what_is_no_longer_met() -> None:
    """Met before and missed now is the news; missed before, or idle, is none."""
    old, new = (
        report.put_together(ORDER, told(verdict), counted(), "", "")
        for verdict in ("met", "missed")
    )
    assert [row["slo"] for row in compare.compare(old, new)["broken"]] == [
        "nodes.list-availability"
    ]
    assert compare.compare(new, new)["broken"] == compare.compare(new, old)["broken"] == []
    assert compare.compare(old, old)["unlike"] == []


def test_a_comparison_holds_routes_of_either_run() -> None:
    """A route that one run did not know has nothing on that side, and a run of another length says so."""
    old = report.put_together(ORDER, told(), counted(), "", "")
    new = report.put_together(
        load_run.Order(20, 50, "20s", ORDER.host), told(routes=[]), counted(), "", ""
    )
    found = compare.compare(old, new)
    assert [row["route"] for row in found["routes"]] == ["all", "nodes.list"]
    assert found["routes"][1]["new"]["p95"] is None
    assert found["unlike"] == ["time was 10s, is 20s"]
    page = report.page(
        "compare.html", old=old, new=new, change=compare.change, few=compare.FEW, **found
    )
    assert "Nothing that was met is missed now" in page
    assert "time was 10s, is 20s" in page


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (100, 100, ""),
        (100, 150, "The new run's verdict is disagree, so this comparison proves little."),
        (None, 100, "The old run's verdict is unknown, so this comparison proves little."),
        (
            150,
            None,
            "The old run's verdict is disagree and the new run's verdict is unknown, so this comparison proves little.",
        ),
    ],
)
def test_a_comparison_of_doubtful_runs_is_not_green(
    before: int | None, after: int | None, sentence: str
) -> None:
    """Where either run's own numbers cannot be relied on, the page says so and looks like it."""
    old, new = (
        report.put_together(ORDER, told(), counted(n) if n else None, "" if n else "no scrape", "")
        for n in (before, after)
    )
    found = compare.compare(old, new)
    assert found["unsure"] == sentence
    page = report.page(
        "compare.html", old=old, new=new, change=compare.change, few=compare.FEW, **found
    )
    assert f'<header class="verdict {"unknown" if sentence else "met"}">' in page
    assert ("proves little" in page) == bool(sentence)


def test_changes_of_few_requests_are_faint() -> None:
    """Fewer than a hundred requests in either run make a change that may be chance: in brackets, faint, and explained once."""
    new = report.put_together(ORDER, told(), counted(), "", "")
    few = told(routes=[told()["routes"][0] | {"clients": FIGURES | {"requests": 99, "p95": 0.06}}])
    old = report.put_together(ORDER, few, counted(), "", "")
    for one, other in ((old, new), (new, old)):
        found = compare.compare(one, other)
        assert [(row["route"], row["few"]) for row in found["routes"]] == [
            ("all", False),
            ("nodes.list", True),
        ]
    page = report.page(
        "compare.html", old=new, new=old, change=compare.change, few=compare.FEW, **found
    )
    assert "<td>(+100 %)</td>" in page
    assert page.count("fewer than 100 requests in one of the runs") == 1
    assert page.count('<tr class="strong">') == 1
    assert "<td>99</td>" in page
    plain = report.page(
        "compare.html",
        old=new,
        new=new,
        change=compare.change,
        few=compare.FEW,
        **compare.compare(new, new),
    )
    assert "fewer than" not in plain


@pytest.mark.parametrize(
    ("figure", "old", "new", "text"),
    [
        ("p95", 0.1, 0.15, "+50 %"),
        ("rate", 10, 9, "-10 %"),
        ("failing", 0.0, 0.012, "+1.2 pt"),
        ("p95", None, 1, "–"),
        ("rate", 0, 1, "–"),
    ],
)
def test_a_change_in_words(figure: str, old: float | None, new: float | None, text: str) -> None:
    """Per cent of what was, points for shares, nothing where there is nothing to compare with."""
    assert compare.change(figure, old, new) == text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "has no report.json"),
        ("{", "cannot be read"),
        ("[]", "is no report of version 1"),
        ('{"version": 9}', "is no report of version 1"),
    ],
)
def test_a_folder_without_a_report_is_named(
    tmp_path: Path, content: str | None, words: str
) -> None:
    """What is wrong with which folder, and which to name instead."""
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    with pytest.raises(compare.NoReport, match=re.escape(str(tmp_path))) as caught:
        compare.read(tmp_path)
    assert words in str(caught.value)
    with pytest.raises(compare.NoReport, match="is no folder; name two that `make load` printed"):
        compare.read(tmp_path / "none")
