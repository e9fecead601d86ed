"""Verdicts: their arithmetic, and those that a real Prometheus gives."""

import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from observability.devstack.layout import PORTS
from observability.drill.sandbox import free_ports
from observability.generate import prometheus
from observability.generate.registry import ROOT
from observability.lib.bound_process import bind
from observability.lib.http import Unreachable
from observability.lib.prometheus import Prometheus
from observability.slo import verdicts
from observability.slo.verdicts import Counted, Verdict
from observability.spec import names
from observability.spec.gateway import without_gateway
from observability.spec.loading import load_plan
from observability.spec.plan import FINE_PACE, LONG_PACE, Plan, Slo
from observability.spec.quantities import parse_duration
from tests.observability.compiler_support import program

PROMISE = Slo("x-availability", "availability", "http", "x", Decimal("0.999"), "platform", ())
DEADLINE = 60  # seconds in which a server must have answered


MONTH = 30 * 86400.0


def counted(
    total: float | None, bad: float | None, covered: float = MONTH, sample: float = 1.0
) -> Counted:
    """Return what was counted in a month, of which `covered` seconds have data."""
    return Counted(total, bad, covered, MONTH, sample)


@pytest.mark.parametrize(
    ("total", "bad", "verdict", "left"),
    [
        (None, None, Verdict.UNMEASURED, None),
        (100.0, None, Verdict.UNMEASURED, None),
        (None, 0.0, Verdict.UNMEASURED, None),
        (0.0, 0.0, Verdict.IDLE, 1.0),
        (0.4, 0.4, Verdict.IDLE, 1.0),
        (1000.0, 0.0, Verdict.MET, 1.0),
        (10000.0, 5.0, Verdict.MET, 0.5),
        (1000.0, 2.0, Verdict.MISSED, -1.0),
        (1000.0, 1000.0, Verdict.MISSED, -999.0),
        (999.0, 0.0, Verdict.TOO_FEW, 1.0),
        (8.0, 1.0, Verdict.TOO_FEW, 0.0),
        (8.2, 1.03, Verdict.TOO_FEW, -0.03),
        (8.0, 2.0, Verdict.MISSED, -1.0),
        (5.0, 5.0, Verdict.MISSED, -4.0),
        (100.0, 101.0, Verdict.BROKEN, None),
        (100.0, -1.0, Verdict.BROKEN, None),
        (0.0, 3.0, Verdict.BROKEN, None),
        (-5.0, 0.0, Verdict.BROKEN, None),
        (math.inf, 0.0, Verdict.BROKEN, None),
        (math.inf, math.inf, Verdict.BROKEN, None),
        (100.0, 100.3, Verdict.MISSED, -99.0),
    ],
)
def test_verdicts_need_data_and_enough_events(
    total: float | None, bad: float | None, verdict: Verdict, left: float | None
) -> None:
    """One bad event alone is no miss, and more bad events than events are no figure."""
    row = verdicts.judge(PROMISE, counted(total, bad), 0.0)
    assert row.verdict == verdict
    assert row.budget_remaining == (left if left is None else pytest.approx(left))
    no_share = (Verdict.IDLE, Verdict.UNMEASURED, Verdict.BROKEN)
    assert (row.measured is None) == (verdict in no_share)
    assert (row.slo, row.owner, row.objective) == ("x-availability", "platform", 0.999)
    assert row.events_needed == 1000


@pytest.mark.parametrize(
    ("minutes", "total", "bad", "verdict", "left"),
    [
        (28, 30_000.0, 180.0, Verdict.TOO_FEW, 0.996),  # 0.6 %: on these minutes alone -500 %
        (28, 30_000.0, 10.0, Verdict.MET, 0.9998),
        (28, 30_000.0, 30_000.0, Verdict.TOO_FEW, 0.352),
        (44, 47_000.0, 47_000.0, Verdict.MISSED, -0.0185),  # 43.2 min of a month may be bad
        (0, 5.0, 5.0, Verdict.TOO_FEW, 0.9996),
    ],
)
def test_budget_is_that_of_the_whole_window(
    minutes: int, total: float, bad: float, verdict: Verdict, left: float
) -> None:
    """A mostly empty window is missed only when the budget of all of it is spent."""
    row = verdicts.judge(PROMISE, counted(total, bad, minutes * 60.0), 0.0)
    assert row.verdict == verdict
    assert row.budget_remaining == pytest.approx(left, abs=1e-3)
    assert row.covered_seconds == minutes * 60
    assert row.measured == pytest.approx(1 - bad / total)


@pytest.mark.parametrize("permille", [500, 550, 930, 935, 936, 950, 990, 995, 999])
def test_exactly_what_an_objective_allows_is_met(permille: int) -> None:
    """At 93 %, 7 bad events of 100 are allowed, which no binary number says exactly."""
    slo = replace(PROMISE, objective=Decimal(permille) / 1000)
    for total in range(1000, 40_000, 1000):
        bad = total * (1000 - permille) // 1000
        assert verdicts.judge(slo, counted(total, bad), 0.0).verdict == Verdict.MET
        assert verdicts.judge(slo, counted(total, bad + 1), 0.0).verdict == Verdict.MISSED


def test_one_bad_sample_of_seconds_is_no_miss() -> None:
    """A sample every 5 s is the smallest event of an SLO that counts seconds."""
    limit = parse_duration("12s")
    objective = Decimal("0.999")
    probe = Slo("x-probe", "probe", "probe", "x", objective, "platform", (), fresh_within=limit)
    row = verdicts.judge(probe, Counted(600.0, 5.0, 600.0, 600.0, 5.0), 0.0)
    assert (row.verdict, row.events_needed) == (Verdict.TOO_FEW, 5000)
    missed = verdicts.judge(probe, Counted(600.0, 35.0, 600.0, 600.0, 5.0), 0.0)
    assert missed.verdict == Verdict.MISSED


@given(st.integers(1000, 10**9), st.floats(0, 1), st.floats(1, MONTH))
def test_missed_means_that_the_budget_is_spent(total: int, share: float, covered: float) -> None:
    """The verdict and the sign of the remaining budget agree, and good and bad add up."""
    bad = total * share
    row = verdicts.judge(PROMISE, counted(float(total), bad, covered), 0.0)
    assert row.budget_remaining is not None
    assert row.good is not None
    if abs(row.budget_remaining) > 1e-6 and bad > verdicts.ONE_EVENT:
        assert (row.verdict == Verdict.MISSED) == (row.budget_remaining < 0)
    if row.verdict == Verdict.MET:
        assert row.measured is not None
        assert row.measured >= row.objective
    assert row.good + bad == pytest.approx(total)


@pytest.mark.parametrize(
    ("found", "relaxed", "strict"),
    [
        ([], 0, 0),
        ([Verdict.MET], 0, 0),
        ([Verdict.MET, Verdict.IDLE], 0, 1),
        ([Verdict.MET, Verdict.TOO_FEW], 2, 2),
        ([Verdict.MET, Verdict.MISSED], 1, 1),
        ([Verdict.TOO_FEW, Verdict.MISSED], 1, 1),
        ([Verdict.TOO_FEW, Verdict.BROKEN], 1, 1),
        ([Verdict.MISSED, Verdict.UNMEASURED], 2, 2),
        ([Verdict.MET, Verdict.UNMEASURED, Verdict.IDLE], 2, 2),
    ],
)
def test_exit_code_is_that_of_the_worst_verdict(
    found: list[Verdict], relaxed: int, strict: int
) -> None:
    """2 unmeasured, 1 missed or broken, 2 too few, 0 met; with strict idle counts as missed."""
    rows = [
        verdicts.SloResult("x", "", "", 0.9, None, None, None, None, None, verdict)
        for verdict in found
    ]
    assert (verdicts.exit_code(rows, strict=False), verdicts.exit_code(rows, strict=True)) == (
        relaxed,
        strict,
    )


def test_coverage_in_words() -> None:
    """The longest coverage is named, and how many SLOs have clearly less."""
    rows = [
        verdicts.judge(PROMISE, counted(1000.0, 0.0, covered), 0.0)
        for covered in (1680.0, 1650.0, 60.0)
    ]
    text = verdicts.describe_coverage(rows)
    assert text == "28 min of which have data (1 of 3 SLOs have less)"
    assert verdicts.describe_coverage(rows[:2]) == "28 min of which have data"
    assert verdicts.describe_coverage([]) == "0 s of which have data"


class RecordedQueries(Prometheus):
    """A Prometheus that notes at which moment it is asked what."""

    def __init__(self) -> None:
        super().__init__("http://fake")
        self.moments: list[float | None] = []

    def query(self, expr: str, at: float | None = None) -> list[tuple[dict[str, str], float]]:
        if expr == "vector(time())":
            return [({}, 1000.0)]
        self.moments.append(at)
        return []


def test_all_numbers_are_of_one_moment(plan: Plan) -> None:
    """Totals, bad events, coverage and burn rates are queried at the same time.

    Whether an SLO is measured is queried now, so that one that has just begun is idle.
    """
    prometheus = RecordedQueries()
    verdicts.measure(plan, prometheus, plan.period)
    before = 1000.0 - float(plan.clock.evaluate)
    assert sorted(filter(None, prometheus.moments)) == [before, before, before, before, 1000.0]


@pytest.mark.parametrize(
    ("text", "pace"),
    [
        ("20s", FINE_PACE),
        ("5m", FINE_PACE),
        ("6h", FINE_PACE),
        ("7h", LONG_PACE),
        ("30d", LONG_PACE),
    ],
)
def test_windows_select_their_series(text: str, pace: str, plan: Plan) -> None:
    """Up to six hours every sample is read, beyond that thinned ones."""
    window = verdicts.parse_window(plan, text)
    assert (window.name, window.pace) == (text, pace)


def test_the_period_is_the_default_window(plan: Plan) -> None:
    """No window means the catalogue's period."""
    assert verdicts.parse_window(plan, None) is plan.period


@pytest.mark.parametrize("text", ["19s", "31d", "0s", "week", "1.5h"])
def test_other_windows_are_refused(text: str, plan: Plan) -> None:
    """Too short for a rate, longer than what is kept, or no duration."""
    with pytest.raises(ValueError, match=r"--window|no duration"):
        verdicts.parse_window(plan, text)


# --- against a real Prometheus ---


class Target(BaseHTTPRequestHandler):
    """/metrics: orders.list succeeds, orders.get fails, orders.create is idle."""

    scrapes = 0

    def do_GET(self) -> None:
        Target.scrapes += 1
        count, edge = f"{names.HTTP_DURATION}_count", f"{names.HTTP_DURATION}_bucket"
        good, bad = 10_000 * Target.scrapes, 5_000 * Target.scrapes
        rows = {"orders.list": (good, 0), "orders.get": (good, bad), "orders.create": (0, 0)}
        lines = [f"# TYPE {names.HTTP_DURATION} histogram"]
        for route, (fine, failed) in rows.items():
            lines += [
                f'{edge}{{route="{route}",status="2xx",le="{le}"}} {fine}'
                for le in ("0.2", "1.0", "+Inf")
            ]
            lines += [
                f'{edge}{{route="{route}",status="5xx",le="{le}"}} {failed}'
                for le in ("0.2", "1.0", "+Inf")
            ]
            lines += [
                f'{count}{{route="{route}",status="2xx"}} {fine}',
                f'{count}{{route="{route}",status="5xx"}} {failed}',
            ]
        lines += [
            "# TYPE last gauge",
            f'{names.PROBE_LAST_SUCCESS}{{route="orders.list"}} {time.time()}',
            f'parcels_total{{kind="batch"}} {good}',
            "belt_parcels 101",
        ]
        body = ("\n".join(lines) + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="session")
def server(fast: Plan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Yield a Prometheus with the drill's rules after a minute of the drill's time."""
    folder = tmp_path_factory.mktemp("prometheus")
    target = ThreadingHTTPServer(("127.0.0.1", 0), Target)
    threading.Thread(
        target=target.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    ).start()
    (folder / "rules.yaml").write_text(prometheus.render(fast)[prometheus.RULES], encoding="utf-8")
    jobs = [
        {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{target.server_port}"]}]}
        for job in ("api", "prober")
    ]
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": jobs,
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    port = free_ports()["prometheus"]  # within reach of EVARA_PORT_OFFSET
    command = [
        program("prometheus"),
        f"--config.file={folder}/prometheus.yaml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(bind(command), stdout=log, stderr=log)
        try:
            client = Prometheus(f"http://127.0.0.1:{port}")
            wait(client, process, folder / "log")
            yield client
        finally:
            process.terminate()
            process.wait()
            target.shutdown()
            target.server_close()


def wait(client: Prometheus, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Until some rates are there."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            evaluations_ago = client.now() - 3  # verdicts are one evaluation old
            ratios = client.query_by_label(names.error_ratio("5m"), names.SLO, evaluations_ago)
            if ratios.get("orders.get-availability"):
                return
        except Unreachable:
            pass
        time.sleep(0.2)
    raise AssertionError(log.read_text(encoding="utf-8")[-2000:])


def test_verdicts_come_from_a_real_server(server: Prometheus, fast: Plan) -> None:
    """Served well, failing, never called, and never measured are told apart, for every kind."""
    rows = {
        row.slo: row for row in verdicts.measure(fast, server, verdicts.parse_window(fast, "1m"))
    }
    assert set(rows) == {entry.name for entry in fast.slos}
    assert rows["orders.list-availability"].verdict == Verdict.MET
    assert rows["orders.list-latency-1s"].verdict == Verdict.MET
    assert rows["orders.get-availability"].verdict == Verdict.MISSED
    assert rows["orders.get-availability"].measured == pytest.approx(2 / 3, abs=0.01)
    assert rows["orders.get-availability"].burn_rate == pytest.approx(1000 / 3, rel=0.05)
    assert rows["orders.create-availability"].verdict == Verdict.IDLE
    assert rows["parcels.latest-availability"].verdict == Verdict.UNMEASURED
    assert rows["database-availability"].verdict == Verdict.UNMEASURED
    assert rows["orders.list-probe"].verdict == Verdict.TOO_FEW  # of its 1000 seconds
    assert rows["orders.list-probe"].good == rows["orders.list-probe"].total
    assert 0 < rows["orders.list-probe"].covered_seconds <= 60
    assert (
        rows["thingspeak.sync-freshness"].verdict == Verdict.MISSED
    )  # its target is there, and says nothing
    assert rows["parcels-kept"].verdict == Verdict.MET  # no series of lost parcels
    assert rows["belt-short"].verdict == Verdict.MISSED
    assert rows["belt-short"].measured == 0
    assert rows["api-availability"].measured == pytest.approx(4 / 5, abs=0.01)
    assert rows["orders-fast"].verdict == Verdict.UNMEASURED  # no bucket of its threshold
    assert verdicts.exit_code(list(rows.values()), strict=False) == 2


def test_young_server_judges_the_period_by_its_data(server: Prometheus, fast: Plan) -> None:
    """The longest window works from the first seconds on, and says how few of them it has."""
    rows = {row.slo: row for row in verdicts.measure(fast, server, fast.period)}
    assert rows["orders.list-availability"].verdict == Verdict.MET
    failing = rows["orders.get-availability"]
    assert failing.verdict == Verdict.TOO_FEW
    assert failing.measured == pytest.approx(2 / 3, abs=0.01)
    assert failing.budget_remaining is not None
    assert 0 < failing.budget_remaining < 1
    assert 0 < failing.covered_seconds < 300


def test_the_command_prints_json_and_exits_by_the_worst(server: Prometheus) -> None:
    """`slo --json` has its stable keys, and exits with 2 as something was not measured."""
    offset = int(server.url.rsplit(":", 1)[1]) - PORTS["prometheus"]
    environment = os.environ | {"EVARA_PORT_OFFSET": str(offset), "COLUMNS": "200"}
    command = [sys.executable, "-m", "observability", "slo", "--window", "1m"]
    result = subprocess.run(
        [*command, "--json"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2, result.stderr
    rows = {row["slo"]: row for row in json.loads(result.stdout)["slos"]}
    stable = {
        "slo",
        "objective",
        "measured",
        "good",
        "total",
        "budget_remaining",
        "burn_rate",
        "verdict",
        "covered_seconds",
        "events_needed",
    }
    assert all(stable <= set(row) for row in rows.values())
    assert set(rows) == {slo.name for slo in without_gateway(load_plan()).slos}
    table = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert table.returncode == 2
    assert "SLOs over 1m" in table.stdout
    assert "unmeasured" in table.stdout


def test_every_rule_of_the_drill_is_evaluated(server: Prometheus) -> None:
    """No rule has an error on a real server."""
    assert {
        rule["lastError"]
        for group in server.rule_groups()
        for rule in group["rules"]
        if "lastError" in rule
    } == set()
    assert {target["health"] for target in server.targets()} == {"up"}
    assert {alert["labels"]["alertname"] for alert in server.alerts()}


def test_refused_query_shows_the_servers_error(server: Prometheus) -> None:
    """The error has the message of the server."""
    with pytest.raises(Unreachable, match="refused 'sum\\('"):
        server.query("sum(")
