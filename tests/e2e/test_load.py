"""The load report against the real stack.

Its numbers are those of Locust and Prometheus, its page is self-contained, and traffic of others
is reported.
"""

import csv
import json
import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from observability.lib.prometheus import Prometheus, scrape_metric
from observability.spec import names
from tests.e2e.conftest import PageRecorder, Stack
from tests.e2e.waiting import eventually

LATEST = "/api/v1/nodes/main-branch/latest"
STRANGERS = 50


@dataclass(frozen=True)
class LoadRun:
    """The results of one load run."""

    code: int
    output: str
    report: dict[str, Any]
    folder: Path


def run_load(stack: Stack, reports: Path, *arguments: str) -> LoadRun:
    """Run a load and return its results."""
    result = stack.run(
        "load",
        "--time",
        "12s",
        "--users",
        "8",
        "--rate",
        "30",
        "--reports",
        str(reports),
        *arguments,
    )
    folder = max(reports.iterdir(), key=lambda path: path.stat().st_mtime)
    assert f"Report: {folder}/index.html" in result.stdout, result.stdout + result.stderr
    return LoadRun(
        result.returncode,
        result.stdout,
        json.loads((folder / "report.json").read_text(encoding="utf-8")),
        folder,
    )


@pytest.fixture(scope="module")
def load_run(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> LoadRun:
    """Return an undisturbed run that follows requests of another client."""
    for _ in range(5):
        assert stack.get(LATEST).is_success
    return run_load(stack, tmp_path_factory.mktemp("reports"))


def test_both_sides_of_an_undisturbed_run_agree(load_run: LoadRun) -> None:
    """Both sides count the same requests, without those before the run."""
    latency_findings = [
        f for f in load_run.report["findings"] if f["number"] == "p95" and f["clients"] > f["high"]
    ]  # on a busy machine clients do wait longer
    assert load_run.report["findings"] == latency_findings
    decided = ["too few", "missed"]  # 360 requests are too few for an objective of 99.9 %
    assert load_run.report["verdict"] in (["disagree"] if latency_findings else decided)
    assert load_run.code == (2 if load_run.report["verdict"] == "too few" else 1)
    for row in load_run.report["routes"]:
        assert row["server"]["requests"] == pytest.approx(
            row["clients"]["requests"] + row["probes"], abs=2 if row["probes"] else 0
        )
    assert load_run.report["workers"]["memory"]["min"] > 1e6
    assert 0 < load_run.report["workers"]["cpu"]["avg"] < 8
    assert load_run.report["alerts"] == []


def test_client_numbers_equal_locusts_csv(load_run: LoadRun) -> None:
    """Every number of the clients' side is in Locust's own CSV file."""
    with (load_run.folder / "locust_stats.csv").open(encoding="utf-8") as file:
        rows = {row["Name"]: row for row in csv.DictReader(file)}
    for route in (load_run.report["total"] | {"route": "Aggregated"}, *load_run.report["routes"]):
        if route["clients"]["requests"] == 0:  # too rare to be drawn
            assert route["route"] not in rows
            continue
        row, clients = rows[route["route"]], route["clients"]
        assert (clients["requests"], clients["failed"]) == (
            int(row["Request Count"]),
            int(row["Failure Count"]),
        )
        assert clients["rate"] == pytest.approx(float(row["Requests/s"]))
        for key, column in (("p50", "50%"), ("p90", "90%"), ("p95", "95%"), ("p99", "99%")):
            assert clients[key] == pytest.approx(float(row[column]) / 1000)


def test_server_numbers_equal_prometheus(stack: Stack, load_run: LoadRun) -> None:
    """Prometheus gives the same counts and quantiles between start and end."""
    prometheus = Prometheus(stack.layout.url("prometheus"))
    start, end = load_run.report["server"]["from"], load_run.report["server"]["to"]

    def build_increase_query(metric: str, *labels: str) -> str:
        """Return the PromQL of a metric's increase between start and end."""
        by = f"sum by ({', '.join(labels)})"
        before, after = f"{by} ({metric} @ {start})", f"{by} ({metric} @ {end})"
        return f"({after} - ({before} or 0 * {after}))"

    requests = prometheus.query_by_label(
        build_increase_query(names.HTTP_REQUESTS + "_total", names.ROUTE), names.ROUTE
    )
    buckets = build_increase_query(names.HTTP_DURATION + "_bucket", names.ROUTE, "le")
    for key, share in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)):
        quantiles = prometheus.query_by_label(
            f"histogram_quantile({share}, {buckets})", names.ROUTE
        )
        for row in load_run.report["routes"]:
            value = row["server"][key]
            assert (math.nan if value is None else value) == pytest.approx(
                quantiles.get(row["route"], math.nan), nan_ok=True
            )
            assert row["server"]["requests"] == round(
                requests.get(row["route"], 0)
            )  # a series begins with the first request
    spent = {row["slo"]: row["total"] for row in load_run.report["budgets"]}
    slo = "readings.ingest-availability"
    recorded = f'{names.TOTAL}{{{names.SLO}="{slo}"}}'

    def is_recorded() -> bool:
        """Return whether the rules, which run later than the scrape, have counted the run."""
        [(_, total)] = prometheus.query(f"{recorded} - ({recorded} @ {start})")
        return bool(total == pytest.approx(spent[slo]))

    assert eventually(is_recorded)


def require_phone_layout(page: Page) -> None:
    """Fail if the page scrolls sideways or hides the last column of the table of routes."""
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator(".scroll:has(.pair)").evaluate("box => box.scrollWidth <= box.clientWidth")
    last_column = page.get_by_role("columnheader", name="p99").bounding_box()
    assert last_column
    assert last_column["x"] < 340


def test_report_page_is_self_contained(load_run: LoadRun, recorder: PageRecorder) -> None:
    """The page opens from disk, light and dark, without requests and errors, and fits a phone."""
    page, address = recorder.page, (load_run.folder / "index.html").as_uri()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(address)
        loaded = page.locator("figure img").evaluate_all(
            "all => all.map(image => image.complete && image.naturalWidth > 0)"
        )
        assert len(loaded) == 8
        assert all(loaded)
    assert (
        page.get_by_role("heading", level=1)
        .inner_text()
        .strip()
        .lower()
        .endswith(load_run.report["verdict"])
    )
    assert page.get_by_role("rowheader", name="readings.ingest").count() == 1
    require_phone_layout(page)
    assert recorder.requests_to_other_hosts(address) == set()
    assert recorder.errors == []


def test_requests_of_other_clients_fail_the_run(
    stack: Stack, load_run: LoadRun, tmp_path: Path, recorder: PageRecorder
) -> None:
    """Fifty requests from outside the run fail it, with the route, both counts and a reason."""
    answers: list[int] = []

    def count_created_nodes() -> float:
        """Return the number of requests that created nodes."""
        return scrape_metric(
            stack.layout.url("metrics"), names.HTTP_REQUESTS + "_total", names.ROUTE
        )["nodes.create"]

    def send_foreign_requests(before: float) -> None:
        """Send requests once the run has begun."""
        if eventually(
            lambda: count_created_nodes() > before
        ):  # each client begins with a node of its own
            answers.extend(stack.get(LATEST).status_code for _ in range(STRANGERS))

    thread = threading.Thread(target=send_foreign_requests, args=(count_created_nodes(),))
    thread.start()
    disturbed = run_load(stack, tmp_path)
    thread.join()
    assert len(answers) == STRANGERS
    assert disturbed.code == 1
    assert disturbed.report["verdict"] == "disagree"
    finding = next(
        finding for finding in disturbed.report["findings"] if finding["number"] == "requests"
    )
    assert (finding["route"], finding["server"] - finding["clients"]) == (
        "readings.latest",
        STRANGERS,
    )
    assert "Another client sent requests" in disturbed.output
    assert "Clients and server disagree" in (disturbed.folder / "index.html").read_text(
        encoding="utf-8"
    )
    compared = stack.run("load", "--compare", str(load_run.folder), str(disturbed.folder))
    assert compared.returncode in (0, 1), compared.stderr
    assert "the new run's verdict is disagree" in compared.stdout.lower()
    recorder.page.goto((disturbed.folder / "compare.html").as_uri())
    require_phone_layout(recorder.page)
