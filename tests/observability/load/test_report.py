"""The report of a load run: verdict, files, page, and a missing server side."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from observability.devstack.layout import StackLayout, stack_ports
from observability.lib.http import Unreachable
from observability.load import impact, report, run, scrapes, server_counts
from observability.load.recording import Recording
from observability.load.report import EXIT_CODES, RunVerdict
from observability.spec.plan import Plan
from observability.spec.schema.catalogue import LoadEntry
from tests.observability.load.support import PROFILE, increase, locust_report, recording


@pytest.mark.parametrize(
    ("objective", "requests", "unreachable", "unwatched", "verdict", "words"),
    [
        (
            "met",
            100,
            "",
            "",
            RunVerdict.MET,
            "All 1 objectives with traffic are met, and clients and server agree.",
        ),
        (
            "missed",
            100,
            "",
            "",
            RunVerdict.MISSED,
            "1 of 1 objectives are missed, and clients and server agree.",
        ),
        (
            "met",
            150,
            "",
            "",
            RunVerdict.DISAGREE,
            "disagree on 1 number, by more than the measurement error",
        ),
        (
            "missed",
            150,
            "",
            "",
            RunVerdict.DISAGREE,
            "For the clients, 1 of 1 objectives are missed",
        ),
        (
            "met",
            None,
            "no scrape",
            "",
            RunVerdict.UNKNOWN,
            "the server's numbers are missing: no scrape",
        ),
        ("met", None, "", "elsewhere", RunVerdict.MET, "by the clients' numbers only"),
        ("idle", None, "", "elsewhere", RunVerdict.UNKNOWN, "No request was measured."),
        (
            "too few",
            100,
            "",
            "",
            RunVerdict.TOO_FEW,
            "No objective is missed, 0 of 1 are met, 1 had too few requests for a verdict, "
            "and clients and server agree. Send more requests to decide the others: raise TIME",
        ),
        ("too few", 150, "", "", RunVerdict.DISAGREE, "1 had too few requests for a verdict."),
    ],
)
def test_the_verdict_says_why(
    objective: str,
    requests: int | None,
    unreachable: str,
    unwatched: str,
    verdict: RunVerdict,
    words: str,
) -> None:
    """A disagreement outranks the objectives; without the server's side the verdict is unknown."""
    recorded = Recording(increase(requests) if requests else None, unreachable, unwatched)
    built = report.build_report(PROFILE, locust_report(objective), recorded)
    assert built["verdict"] == verdict
    assert words in built["summary"]
    exit_codes = {"met": 0, "missed": 1, "too few": 2, "disagree": 1, "unknown": 2}
    assert EXIT_CODES[built["verdict"]] == exit_codes[verdict]


@pytest.mark.parametrize(
    ("verdicts", "verdict"),
    [
        (("met", "too few", "idle"), RunVerdict.TOO_FEW),
        (("met", "too few", "missed"), RunVerdict.MISSED),
        (("met", "idle"), RunVerdict.MET),
    ],
)
def test_a_missed_objective_outranks_too_few_requests(
    verdicts: tuple[str, ...], verdict: RunVerdict
) -> None:
    """The run has too few requests only when nothing was missed; idle objectives do not count."""
    [objective] = locust_report()["objectives"]
    objectives = [objective | {"verdict": each} for each in verdicts]
    built = report.build_report(PROFILE, locust_report(objectives=objectives), recording())
    assert built["verdict"] == verdict


def test_a_run_with_exceptions_of_clients_has_failed() -> None:
    """Even if all objectives are met: the load was not that of the catalogue."""
    exceptions = [{"what": "KeyError: 'id'", "count": 3}]
    data = report.build_report(
        PROFILE, locust_report(exceptions=exceptions), Recording(increase=increase())
    )
    assert data["verdict"] == RunVerdict.MISSED
    assert data["summary"] == (
        "The load was not sent as the catalogue says: 3 exceptions in the clients, "
        "most often KeyError: 'id'."
    )


def test_the_page_says_how_many_requests_a_verdict_needs(tmp_path: Path) -> None:
    """An objective with too few requests shows their number, and the number that is enough."""
    built = report.build_report(PROFILE, locust_report("too few"), recording())
    report.write_report(tmp_path, built, [])
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert '<header class="verdict too-few">' in page
    assert "Nothing missed; requests too few" in page
    assert "<td>100 (of 1\u202f000)</td>" in page


def test_too_few_requests_say_how_long_a_run_must_be() -> None:
    """The rarest route decides: 100 requests of 1000 in 10 s, and some more by chance."""
    [objective] = locust_report()["objectives"]
    rows = [objective | {"verdict": "too few", "total": total} for total in (999, 100)]
    built = report.build_report(PROFILE, locust_report(objectives=rows), recording())
    assert "exit code is 2 (make prints Error 2)" in built["summary"]
    assert built["summary"].endswith("fix: run it again with TIME=2m")


def test_the_page_lists_exceptions_of_clients(tmp_path: Path) -> None:
    """All of them, and report.json has them, too."""
    exceptions = [{"what": "KeyError: <id>", "count": 3}]
    built = report.build_report(PROFILE, locust_report(exceptions=exceptions), recording())
    report.write_report(tmp_path, built, [])
    assert json.loads((tmp_path / "report.json").read_text())["exceptions"] == exceptions
    assert "KeyError: &lt;id&gt;" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_runs_that_begin_in_the_same_second_have_folders_of_their_own(tmp_path: Path) -> None:
    """Two people, or two shells, run the command at once."""
    assert len({report.create_folder(tmp_path) for _ in range(5)}) == 5


def test_a_row_has_both_sides() -> None:
    """Both rates are over the clients' time, and the report is valid JSON."""
    built = report.build_report(PROFILE, locust_report(), recording(90))
    parsed = json.loads(json.dumps(built, allow_nan=False))
    row = parsed["routes"][0]
    assert (row["clients"]["rate"], row["server"]["rate"]) == (10, 9)
    assert parsed["total"]["server"]["requests"] == 90
    assert (
        parsed["findings"][0]["text"]
        == "orders.list, requests: clients 100, server 90; the server's must be 100."
    )
    assert (parsed["run"]["started"], parsed["run"]["seconds"]) == ("1970-01-01T00:16:40+00:00", 10)


def test_a_run_without_any_request_has_a_report() -> None:
    """A run of no length with no request has rates of 0."""
    built = report.build_report(PROFILE, locust_report(ended=1000.0), recording(0))
    assert built["total"]["server"]["rate"] == 0


def test_a_folder_is_named_by_the_time(tmp_path: Path) -> None:
    """The name sorts by time."""
    folder = report.create_folder(tmp_path / "reports")
    assert folder.is_dir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ", folder.name)


SCRAPES = ({"api": 995.0}, {"api": 1015.0})
RunLoad = Callable[..., tuple[dict[str, Any], Path]]


@pytest.fixture
def run_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, plan: Plan) -> RunLoad:
    """Return a run whose Locust and Prometheus give its arguments as answers, or raise them."""

    def run_with(
        host: str = "http://localhost:8000/",
        scrape_times: Any = SCRAPES,
        measured: Any = None,
        locust: Any = None,
    ) -> tuple[dict[str, Any], Path]:
        def give(answer: Any) -> Any:
            if isinstance(answer, BaseException):
                raise answer
            return answer

        remaining = iter(scrape_times)
        monkeypatch.setattr(run.LoadProfile, "check", lambda *_: None)
        monkeypatch.setattr(run, "run_locust", lambda *_: give(locust or locust_report()))
        monkeypatch.setattr(scrapes, "wait_for_scrapes", lambda *_: give(next(remaining)))
        monkeypatch.setattr(server_counts, "measure_increase", lambda *_: increase())
        monkeypatch.setattr(impact, "measure_impact", lambda *_: give(measured or {}))
        monkeypatch.setattr("observability.load.recording.draw_panels", lambda *_: [])
        profile = run.LoadProfile(20, 50, "10s", host)
        layout = StackLayout(tmp_path, stack_ports(), tmp_path)
        return report.run_load(layout, plan, profile, tmp_path / "reports", lambda _: None)

    return run_with


GONE = Unreachable("Prometheus does not answer; start the stack with: make up")


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ({"scrape_times": [GONE]}, "does not answer"),
        ({"scrape_times": [SCRAPES[0], GONE]}, "does not answer"),
        ({"measured": GONE}, "does not answer"),
    ],
    ids=["before", "after", "while asking for more"],
)
def test_without_the_server_there_is_a_report_and_no_verdict(
    run_load: RunLoad, answers: dict[str, Any], why: str
) -> None:
    """The report has the clients' side and the reason why the server's is missing."""
    built, folder = run_load(**answers)
    assert built["verdict"] == "unknown"
    assert why in built["summary"]
    assert json.loads((folder / "report.json").read_text()) == built
    assert ">Unknown<" in (folder / "index.html").read_text()


def test_another_host_has_the_clients_side_alone(
    run_load: RunLoad,
) -> None:
    """Prometheus is not queried about an API that it does not watch."""
    built, _ = run_load("http://elsewhere.example", scrape_times=[AssertionError("asked")])
    assert (built["verdict"], built["total"]["server"], built["routes"][0]["server"]) == (
        "met",
        None,
        None,
    )
    assert built["server"]["missing"].startswith(
        "http://elsewhere.example is not the API of make up"
    )


@pytest.mark.parametrize(
    ("host", "is_watched"),
    [
        ("http://localhost:8000/", True),
        ("http://127.0.0.1:8000", True),
        ("http://127.0.0.1:8001", False),
    ],
)
def test_the_stacks_api_is_recognised_by_each_of_its_names(
    run_load: RunLoad, host: str, is_watched: bool
) -> None:
    """localhost, 127.0.0.1 and a slash at the end are the same host."""
    built, _ = run_load(host)
    assert (built["total"]["server"] is not None) == is_watched


def test_a_catalogue_without_load_sends_nothing(tmp_path: Path, plan: Plan) -> None:
    """The message says where to declare it."""
    routes = tuple(replace(route, load=LoadEntry(weight=0)) for route in plan.routes)
    idle = replace(plan, routes=routes)
    layout = StackLayout(tmp_path, stack_ports(), tmp_path)
    with pytest.raises(run.LoadRunFailed, match="no route of the catalogue has load; fix: write"):
        report.run_load(layout, idle, PROFILE, tmp_path / "reports", lambda _: None)
    assert not (tmp_path / "reports").exists()


def test_a_broken_run_leaves_no_folder(run_load: RunLoad, tmp_path: Path) -> None:
    """An incomplete report is removed."""
    with pytest.raises(run.LoadRunFailed):
        run_load(locust=run.LoadRunFailed("boom"))
    assert list((tmp_path / "reports").iterdir()) == []
