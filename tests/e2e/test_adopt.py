"""Services of other people: their own metrics, a catalogue, and a real Prometheus are enough.

On the drill's clock, each app is judged, alerts while a route fails, and recovers.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from observability.checks import metrics_page
from observability.devstack.layout import ROOT, servers_folder
from observability.lib.metrics_page import fetch_page, read_stored
from observability.lib.prometheus import ServicePrometheus
from observability.lib.remote import Address
from observability.slo.verdicts import Verdict, measure, parse_window
from observability.spec import names
from observability.spec.drill_clock import accelerate
from observability.spec.loading import load_plan
from observability.spec.plan import Plan
from observability.spec.problems import Invalid
from tests.adopt.services import CONTRACT, FOLDER, Clients, running_app, running_prometheus
from tests.e2e.documented_commands import blocks_of_page
from tests.observability.compiler_support import changed
from tests.waiting import until

APPS = ("flask_default", "flask_url_rule", "fastapi_default", "flask_otel", "flask_own")
GET = "orders.get-availability"
LIST = "orders.list-availability"
NEVER_CALLED = "orders.delete-"
WINDOW = "1m"
PAGE = ROOT / "docs" / "adopt.md"


class Observer:
    """What a Prometheus says about a service."""

    def __init__(self, plan: Plan, url: str) -> None:
        self._plan = plan
        self.prometheus = ServicePrometheus(url, plan)

    def verdicts(self) -> dict[str, Verdict]:
        """Return the verdict on each SLO."""
        window = parse_window(self._plan, WINDOW)
        return {row.slo: row.verdict for row in measure(self._plan, self.prometheus, window)}

    def differences(self, app: str) -> list[str]:
        """Return how the app's page, and what is stored of it, differ from the catalogue."""
        plan = self._plan
        stored = read_stored(self.prometheus, metrics_page.series_of(plan))
        pages = (fetch_page(Address(f"{app}/metrics")), stored)
        found = [metrics_page.check(plan, page) for page in pages]
        return [one.message for problems, notes in found for one in (*problems, *notes)]

    def pages(self) -> set[str]:
        """Return the SLOs that page now."""
        return {
            alert["labels"][names.SLO]
            for alert in self.prometheus.alerts()
            if alert["labels"]["alertname"] == names.BURN_ALERT
            and alert["labels"][names.SEVERITY] == "page"
            and alert["state"] == "firing"
        }

    def unmeasured_since(self, start: float) -> set[str]:
        """Return the SLOs that were not measured for 5 minutes, at any time since then.

        Prometheus scrapes nothing in its first 5 seconds, which are 5 minutes on this clock.
        """
        firing = f'ALERTS{{alertname="{names.UNMEASURED_ALERT}",alertstate="firing"}}'
        now = self.prometheus.now()
        series = self.prometheus.query_range(firing, start, now, float(self._plan.clock.evaluate))
        return {labels[names.SLO] for labels, _ in series}


@pytest.fixture(params=APPS)
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Observer, Clients]]:
    """Yield an app with clients, and what observes it."""
    name = request.param
    plan = accelerate(load_plan(FOLDER / f"{name}.yaml"))
    with (
        running_app(name, tmp_path) as app,
        Clients(app) as clients,
        running_prometheus(plan, app, tmp_path) as url,
    ):
        yield Observer(plan, url), clients


def run_slo(app: str, url: str) -> tuple[int, str, str]:
    """Return the exit code and two verdicts that a user gets; the window is not the drill's."""
    words = ["slo", "--json", "--window", WINDOW, "--prometheus", url]
    command = [sys.executable, "-m", "observability", *words, "--catalogue", FOLDER / f"{app}.yaml"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stdout, result.stderr
    verdicts = {row["slo"]: row["verdict"] for row in json.loads(result.stdout)["slos"]}
    return result.returncode, verdicts[GET], verdicts[LIST]


def test_an_app_is_judged_pages_while_a_route_fails_and_recovers(
    service: tuple[Observer, Clients], request: pytest.FixtureRequest
) -> None:
    """Objectives are met, then one is missed and pages; a route without requests is idle."""
    observer, clients = service
    until(lambda: observer.verdicts()[GET] == Verdict.MET, what="the verdict met")
    start = observer.prometheus.now()
    assert observer.pages() == set()
    clients.is_lost.set()
    until(lambda: GET in observer.pages(), what="the page")
    until(lambda: observer.verdicts()[GET] == Verdict.MISSED, what="the verdict missed")
    verdicts = observer.verdicts()
    assert verdicts[LIST] == Verdict.MET
    idle = {name for name, verdict in verdicts.items() if verdict == Verdict.IDLE}
    assert idle == {name for name in verdicts if name.startswith(NEVER_CALLED)} != set()
    not_called = "no request to DELETE /orders/{order_id} is counted"
    until(
        lambda: observer.differences(clients.app) == [not_called, not_called],
        what="metrics of each route that was called",
    )
    app = request.node.callspec.params["service"]
    # A scrape that comes too late, on this clock, leaves nothing measured for a moment.
    until(
        lambda: run_slo(app, observer.prometheus.url) == (1, Verdict.MISSED, Verdict.MET),
        what="the same verdicts on the command line",
    )
    clients.is_lost.clear()
    until(lambda: not observer.pages(), what="the end of the page")
    assert observer.unmeasured_since(start) == set()


def test_a_threshold_between_two_buckets_is_an_error_that_names_them(tmp_path: Path) -> None:
    """The histogram of prometheus-fastapi-instrumentator has 0.1, 0.5 and 1."""
    catalogue = tmp_path / "catalogue.yaml"
    text = (FOLDER / "fastapi_default.yaml").read_text(encoding="utf-8")
    catalogue.write_text(changed(text, ("500ms", "200ms")), encoding="utf-8")
    with pytest.raises(Invalid) as error:
        load_plan(catalogue)
    [problem] = error.value.problems
    assert "200ms is no bucket of http_request_duration_seconds" in problem.message
    assert "its nearest are 0.1s and 0.5s" in problem.message


@pytest.mark.parametrize("name", APPS)
def test_documented_commands_compile_each_catalogue(name: str, tmp_path: Path) -> None:
    """`generate` and `check`, as docs/adopt.md writes them, with the catalogue of each app."""
    shutil.copy(FOLDER / f"{name}.yaml", tmp_path / "orders.yaml")
    (tmp_path / "openapi.json").write_text(contract_of(name, tmp_path), encoding="utf-8")
    [block] = blocks_of_page(PAGE, "Compile it")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "EVARA_SERVERS_DIR": str(servers_folder()),
    }
    result = subprocess.run(
        ["bash", "-ec", block],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "6 SLOs" in result.stdout
    generated = tmp_path / "orders" / "observability" / "generated" / "prometheus"
    has_relabelling = (generated / "metric_relabel_configs.yaml").exists()
    assert has_relabelling == (name == "flask_default")


def contract_of(name: str, folder: Path) -> str:
    """Return the OpenAPI document of an app: FastAPI writes its own."""
    if name != "fastapi_default":
        return CONTRACT.read_text(encoding="utf-8")
    with running_app(name, folder) as app:
        return httpx.get(f"{app}/openapi.json").text


def test_the_documented_catalogues_are_those_of_the_apps() -> None:
    """The page has one catalogue and contract as a whole, and the signals of the others."""
    page = PAGE.read_text(encoding="utf-8")
    assert (FOLDER / "flask_url_rule.yaml").read_text(encoding="utf-8") in page
    assert CONTRACT.read_text(encoding="utf-8") in page
    for name in APPS:
        text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
        _, signals, rest = text.partition("signals:")
        assert signals + rest.partition("\nscrape:")[0].partition("\ndefaults:")[0] in page, name
