"""The load report against the real stack.

Its numbers are Locust's and Prometheus' own, its page stands alone, and it sees a lie.
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
from tests.e2e.conftest import Stack, Watched
from tests.e2e.waiting import eventually

LATEST = "/api/v1/nodes/main-branch/latest"
STRANGERS = 50


@dataclass(frozen=True)
class Run:
    """What one load run left behind."""

    code: int
    said: str
    report: dict[str, Any]
    folder: Path


def load(stack: Stack, reports: Path, *words: str) -> Run:
    result = stack.run(
        "load", "--time", "12s", "--users", "8", "--rate", "30", "--reports", str(reports), *words
    )
    folder = max(reports.iterdir(), key=lambda path: path.stat().st_mtime)
    assert f"Report: {folder}/index.html" in result.stdout, result.stdout + result.stderr
    return Run(
        result.returncode,
        result.stdout,
        json.loads((folder / "report.json").read_text(encoding="utf-8")),
        folder,
    )


@pytest.fixture(scope="module")
def run(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nobody disturbs, right after somebody else has called."""
    for _ in range(5):
        assert stack.get(LATEST).is_success
    return load(stack, tmp_path_factory.mktemp("reports"))


def test_an_undisturbed_run_agrees(run: Run) -> None:
    """Both sides count the same requests, without those from before the run."""
    waited = [
        f for f in run.report["findings"] if f["number"] == "p95" and f["clients"] > f["high"]
    ]  # on a busy machine they truly do
    assert run.report["findings"] == waited
    assert run.report["verdict"] in (["disagree"] if waited else ["met", "missed"])
    assert run.code == (0 if run.report["verdict"] == "met" else 1)
    for row in run.report["routes"]:
        assert row["server"]["requests"] == pytest.approx(
            row["clients"]["requests"] + row["probes"], abs=2 if row["probes"] else 0
        )
    assert run.report["workers"]["memory"]["min"] > 1e6
    assert 0 < run.report["workers"]["cpu"]["avg"] < 8
    assert run.report["alerts"] == []


def test_the_clients_numbers_are_locusts(run: Run) -> None:
    """Every number of the clients' side stands in Locust's own CSV file."""
    with (run.folder / "locust_stats.csv").open(encoding="utf-8") as file:
        rows = {row["Name"]: row for row in csv.DictReader(file)}
    for route in (run.report["total"] | {"route": "Aggregated"}, *run.report["routes"]):
        if route["clients"]["requests"] == 0:  # so rare that its turn did not come
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


def test_the_servers_numbers_are_prometheus(stack: Stack, run: Run) -> None:
    """Prometheus gives the same counts and quantiles for the difference of the two moments."""
    prometheus = Prometheus(stack.layout.url("prometheus"))
    start, end = run.report["server"]["from"], run.report["server"]["to"]

    def grown(metric: str, *labels: str) -> str:
        by = f"sum by ({', '.join(labels)})"
        before, after = f"{by} ({metric} @ {start})", f"{by} ({metric} @ {end})"
        return f"({after} - ({before} or 0 * {after}))"

    requests = prometheus.query_by_label(
        grown(names.HTTP_REQUESTS + "_total", names.ROUTE), names.ROUTE
    )
    buckets = grown(names.HTTP_DURATION + "_bucket", names.ROUTE, "le")
    for key, share in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)):
        quantiles = prometheus.query_by_label(
            f"histogram_quantile({share}, {buckets})", names.ROUTE
        )
        for row in run.report["routes"]:
            value = row["server"][key]
            assert (math.nan if value is None else value) == pytest.approx(
                quantiles.get(row["route"], math.nan), nan_ok=True
            )
            assert row["server"]["requests"] == round(
                requests.get(row["route"], 0)
            )  # a series begins with the first request
    totals = prometheus.query_by_label(
        f"sum by ({names.SLO}) ({names.TOTAL} @ {end + 6} - {names.TOTAL} @ {start})", names.SLO
    )
    spent = {row["slo"]: row["total"] for row in run.report["budgets"]}
    assert spent["readings.ingest-availability"] == pytest.approx(
        totals["readings.ingest-availability"]
    )


def fits_a_phone(page: Page) -> None:
    """The page does not scroll sideways, and the table of routes shows its last column whole."""
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator(".scroll:has(.pair)").evaluate("box => box.scrollWidth <= box.clientWidth")
    last_column = page.get_by_role("columnheader", name="p99").bounding_box()
    assert last_column
    assert last_column["x"] < 340


def test_the_page_stands_alone(run: Run, watched: Watched) -> None:
    """It opens from disk in light and dark, requests nothing, logs no error and fits a phone."""
    page, address = watched.page, (run.folder / "index.html").as_uri()
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
        .endswith(run.report["verdict"])
    )
    assert page.get_by_role("rowheader", name="readings.ingest").count() == 1
    fits_a_phone(page)
    assert watched.elsewhere(address) == set()
    assert watched.complaints == []


def test_somebody_elses_calls_are_noticed(
    stack: Stack, run: Run, tmp_path: Path, watched: Watched
) -> None:
    """Fifty calls from outside the run make it fail, with the route, both counts and a reason."""
    answers: list[int] = []

    def created() -> float:
        return scrape_metric(
            stack.layout.url("metrics"), names.HTTP_REQUESTS + "_total", names.ROUTE
        )["nodes.create"]

    def stranger(before: float) -> None:
        if eventually(lambda: created() > before):  # each client begins with a node of its own
            answers.extend(stack.get(LATEST).status_code for _ in range(STRANGERS))

    thread = threading.Thread(target=stranger, args=(created(),))
    thread.start()
    disturbed = load(stack, tmp_path)
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
    assert "Another client sent requests" in disturbed.said
    assert "Clients and server disagree" in (disturbed.folder / "index.html").read_text(
        encoding="utf-8"
    )
    compared = stack.run("load", "--compare", str(run.folder), str(disturbed.folder))
    assert compared.returncode in (0, 1), compared.stderr
    assert "the new run's verdict is disagree" in compared.stdout.lower()
    watched.page.goto((disturbed.folder / "compare.html").as_uri())
    fits_a_phone(watched.page)
