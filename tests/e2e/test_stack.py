"""The native stack from `up` to `clean`, as its user sees it."""

import json
import os
import re
import signal
import socket
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
import pytest

from observability.devstack import guardian
from observability.devstack.layout import DEVELOPMENT_KEY, HOST
from observability.lib.alerts import fetch_delivered_alerts
from observability.lib.prometheus import Prometheus
from observability.slo.instances import SUPERVISORD
from observability.spec import loading, names
from tests.alertmanager_server import AlertmanagerServer
from tests.e2e.conftest import Stack
from tests.e2e.waiting import eventually
from tests.processes import is_running, running_children
from tests.receiver import receiving

MISSING_PROGRAMS = f'{names.ALERTS}{{alertname="{names.PROGRAM_ALERT}", alertstate="firing"}}'
LONGEST_INTERVAL = 150.0  # the slowest rule group takes its first turn within two minutes


def test_the_api_is_ready(stack: Stack) -> None:
    """After `up`, health/ready and the list of nodes answer."""
    assert httpx.get(stack.layout.url("api") + "/health/ready").json()["status"] == "ok"
    assert stack.get("/api/v1/nodes/").json()["total"] == 3


def test_recorded_readings_are_synced(stack: Stack) -> None:
    """The sync has brought the recording into every seeded node, each minute once."""
    for node in ("main-branch", "north-well", "hill-tank"):
        page = stack.get(f"/api/v1/nodes/{node}/readings", params={"page_size": 1000}).json()
        times = [item["time"] for item in page["items"]]
        assert page["total"] > 1_000
        assert times == sorted(set(times))


def test_every_target_is_up_and_no_alert_fires(stack: Stack) -> None:
    """A healthy stack has all targets up, and only the watchdog fires."""
    prometheus = Prometheus(stack.layout.url("prometheus"))
    jobs = {"api", "prober", "prometheus", "alertmanager"}
    assert eventually(
        lambda: jobs == {t["labels"]["job"] for t in prometheus.targets() if t["health"] == "up"}
    )
    assert eventually(
        lambda: {a["labels"]["alertname"] for a in prometheus.alerts()} == {"Watchdog"}
    )


def test_other_users_can_read_no_file(stack: Stack) -> None:
    """The folder and all in it, databases, WAL, logs and keys, are the owner's alone."""
    state = stack.layout.state
    servers = stack.layout.servers
    files = [path for path in (state, *state.rglob("*")) if servers not in (path, *path.parents)]
    assert {"evara.db", "evara.db-wal", "api.log", "prober"} <= {path.name for path in files}
    assert [path for path in files if not path.is_symlink() and is_open_to_others(path)] == []


def is_open_to_others(path: Path) -> bool:
    """Return whether other users have a permission; False for a file that is gone meanwhile."""
    with suppress(FileNotFoundError):
        return bool(path.stat().st_mode & 0o077)
    return False


def test_key_in_a_malformed_request_reaches_no_log(stack: Stack) -> None:
    """gunicorn's line on it is in the logs of API and console, without the key."""
    key = "evara_" + "Ab3" * 14
    request = f"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization Bearer {key}\r\n\r\n"
    for server in ("api", "console", "metrics", "prober", "replay"):
        address = ("127.0.0.1", stack.layout.ports[server])
        with socket.create_connection(address, timeout=30) as connection:
            connection.sendall(request.encode())
            connection.recv(65_536)
    logs = stack.layout.logs
    for program in ("api", "console"):
        assert eventually(lambda log=logs / f"{program}.log": "[redacted]" in log.read_text())
    assert [log for log in logs.iterdir() if "Ab3Ab3" in log.read_text()] == []


def test_up_is_idempotent(stack: Stack) -> None:
    """A second `up` restarts nothing and succeeds."""
    before = stack.pid("api"), stack.pid("prometheus")
    again = stack.run("up", "--mode", "native")
    assert again.returncode == 0, again.stdout + again.stderr
    assert (stack.pid("api"), stack.pid("prometheus")) == before


def test_changed_settings_cause_no_outage(stack: Stack) -> None:
    """`up` with another webhook gives it to new workers, and no request fails meanwhile."""
    is_applied = threading.Event()
    answers: list[str] = []
    not_limited = {"Authorization": f"Bearer {stack.layout.key('load')}"}

    def send_requests() -> None:
        while not is_applied.is_set():
            try:
                answer = stack.get("/api/v1/nodes/", headers=not_limited, timeout=60)
                answers.append(str(answer.status_code))
            except httpx.HTTPError as error:
                answers.append(repr(error))

    master = stack.pid("api")
    client = threading.Thread(target=send_requests)
    client.start()
    try:
        changed = stack.environment | {"EVARA_WEBHOOK_URL": stack.layout.url("replay")}
        up = Stack(stack.layout, changed).run("up", "--mode", "native")
    finally:
        is_applied.set()
        client.join()
    assert up.returncode == 0, up.stdout + up.stderr
    assert set(answers) == {"200"}
    assert stack.pid("api") == master


def test_settings_that_the_api_refuses_change_nothing(stack: Stack) -> None:
    """`up` names the setting, and no worker is replaced; those of before a change may still end."""
    before = running_children(psutil.Process(stack.pid("api")))
    wrong = stack.environment | {"EVARA_WEBHOOK_URL": "no address"}
    up = Stack(stack.layout, wrong).run("up", "--mode", "native")
    assert up.returncode == 1
    assert "webhook_url" in up.stderr
    workers = running_children(psutil.Process(stack.pid("api")))
    assert workers
    assert set(workers) <= set(before)


def test_load_is_judged_by_the_catalogue(stack: Stack, tmp_path: Path) -> None:
    """A load run has the catalogue's SLOs, no failures and no 429, and leaves no node behind."""
    report = stack.json("load", "--time", "15s", "--rate", "50", "--reports", str(tmp_path))
    assert report["total"]["clients"]["failed"] == 0, report["errors"]
    assert report["total"]["clients"]["requests"] > 400
    assert {row["slo"] for row in report["objectives"]} == {
        slo.name for route in loading.load_plan().routes if route.load.weight for slo in route.slos
    }
    assert {
        row["verdict"] for row in report["objectives"] if row["slo"].endswith("-availability")
    } <= {"met", "too few"}
    assert stack.get("/api/v1/nodes/").json()["total"] == 3


def test_slo_json_lists_every_slo_and_counts_the_load(stack: Stack) -> None:
    """`slo --json` has the stable fields for every SLO and counts what the load run sent."""
    assert eventually(
        lambda: all(
            row["verdict"] != "unmeasured" for row in stack.json("slo", "--window", "5m")["slos"]
        )
    )
    rows = {row["slo"]: row for row in stack.json("slo", "--window", "5m")["slos"]}
    assert set(rows) == {slo.name for slo in stack.layout.plan().slos}
    assert {
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
        "excluded_seconds",
        "excluded_codes",
    } <= set(rows["nodes.list-probe"])
    ingest = rows["readings.ingest-availability"]
    assert ingest["total"] > 150
    assert ingest["verdict"] in ("met", "too few")
    assert ingest["events_needed"] == 2000
    assert 0 < ingest["covered_seconds"] <= 300


def test_load_without_an_api_exits_2(stack: Stack, tmp_path: Path) -> None:
    """A load run against a closed port exits 2 and leaves no report."""
    result = stack.run(
        "load",
        "--time",
        "3s",
        "--users",
        "2",
        "--host",
        "http://127.0.0.1:9",
        "--reports",
        str(tmp_path),
    )
    assert result.returncode == 2, result.stdout
    assert "nothing answers at http://127.0.0.1:9" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_request_counter_survives_killed_workers(stack: Stack) -> None:
    """The request counter that Prometheus scrapes never decreases when workers are killed."""
    url = stack.layout.url("metrics") + "/metrics"

    def count_requests() -> float:
        """Return the sum of the request counters."""
        lines = httpx.get(url).text.splitlines()
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in lines
            if line.startswith("evara_http_requests_total{")
        )

    assert eventually(lambda: count_requests() > 0)
    for _ in range(3):
        before = count_requests()
        workers = running_children(psutil.Process(stack.pid("api")))
        assert workers
        workers[0].kill()
        assert eventually(
            lambda: httpx.get(stack.layout.url("api") + "/health/live", timeout=2).is_success
        )
        assert count_requests() >= before


def test_up_names_the_owner_of_a_taken_port(stack: Stack, tmp_path: Path) -> None:
    """A second stack on the same ports fails and names port, process and fix."""
    other = Stack(stack.layout, stack.environment | {"EVARA_STACK_DIR": str(tmp_path / "other")})
    result = other.run("up", "--mode", "native")
    assert result.returncode == 1
    assert f"port {stack.layout.ports['api']} (api) is taken by pid" in result.stderr
    assert "EVARA_PORT_OFFSET" in result.stderr


def test_status_logs_and_doctor_succeed(stack: Stack) -> None:
    """`status` and `doctor` succeed; `logs` shows JSON lines and lists the known programs."""
    assert stack.run("status").returncode == 0
    assert '"route":' in stack.run("logs", "api").stdout
    assert "known: alertmanager, api" in stack.run("logs", "nonsense").stderr
    doctor = stack.run("doctor")
    assert doctor.returncode == 0, doctor.stdout


def test_links_of_alerts_and_notifications_open(stack: Stack, tmp_path: Path) -> None:
    """Those of every rule, and those that a Slack message has, on a stack with a port offset."""
    groups = Prometheus(stack.layout.url("prometheus")).rule_groups()
    annotations = [rule.get("annotations", {}) for group in groups for rule in group["rules"]]
    runbook_urls = {texts["runbook_url"] for texts in annotations if texts}
    runbook_urls = {url for url in runbook_urls if "{{" not in url}  # of one SLO each
    assert len(runbook_urls) > 10
    with receiving() as slack:
        (tmp_path / "slack_url").write_text(slack.url, encoding="utf-8")
        secrets = stack.environment | {"EVARA_SECRETS_DIR": str(tmp_path)}
        assert replace(stack, environment=secrets).run("up").returncode == 0
        labels = {"alertname": "TargetDown", "severity": "ticket", "owner": "platform"}
        [texts] = [t for t in annotations if t.get("runbook_url", "").endswith("/TargetDown")]
        AlertmanagerServer(stack.layout.url("alertmanager")).fire(labels, annotations=texts)
        messages: list[str] = []

        def message_has_arrived() -> bool:
            """Look for the message about this alert: another one may fire on this stack, too."""
            bodies = [sent.body.decode() for sent in slack.sent]
            messages.extend(body for body in bodies if texts["runbook_url"] in body)
            return bool(messages)

        assert eventually(message_has_arrived)
    assert stack.run("up").returncode == 0
    links = set(re.findall(r"https?://[^\s\"\\|>]+", messages[0]))
    assert texts["runbook_url"] in links
    assert any(link.startswith(stack.layout.address("alertmanager")) for link in links)
    source = f"{stack.layout.address('console')}/explore?left=x"  # of Loki's alerts
    for link in {source, *links, *runbook_urls}:
        assert httpx.get(link, follow_redirects=True, timeout=10).status_code == 200, link


def test_every_rule_is_healthy(stack: Stack) -> None:
    """Every rule of every group has been evaluated without an error."""
    prometheus = Prometheus(stack.layout.url("prometheus"))

    def rule_health() -> set[str]:
        """Return the health of the rules."""
        return {rule["health"] for group in prometheus.rule_groups() for rule in group["rules"]}

    assert eventually(lambda: rule_health() == {"ok"}, LONGEST_INTERVAL), rule_health()


@pytest.mark.parametrize(
    "program",
    ["api", "prometheus", "alertmanager", "replay", "worker", "metrics", "prober", "console"],
)
def test_killed_processes_restart(stack: Stack, program: str) -> None:
    """Every process runs again within seconds of kill -9."""
    dead = stack.pid(program)
    os.kill(dead, signal.SIGKILL)
    assert eventually(
        lambda: all(p["statename"] == "RUNNING" and p["pid"] != dead for p in stack.processes())
    )
    if program == "api":
        assert eventually(
            lambda: httpx.get(stack.layout.url("api") + "/health/ready", timeout=2).is_success
        )


def test_a_killed_master_is_replaced_before_its_workers_end(stack: Stack) -> None:
    """Its workers give the port back at once, and still answer what they have begun."""
    log = stack.layout.logs / "supervisord.log"
    reading = {"metric": "x", "value": 1, "time": datetime.now(UTC).isoformat()}
    body = json.dumps({"readings": [reading]}).encode()
    head = (
        f"POST /api/v1/nodes/main-branch/readings HTTP/1.1\r\nHost: {HOST}\r\n"
        f"Authorization: Bearer {DEVELOPMENT_KEY}\r\nContent-Type: application/json\r\n"
        f"Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    dead = stack.pid("api")
    starts = log.read_text().count("spawned: 'api'")
    with socket.create_connection((HOST, stack.layout.ports["api"]), timeout=60) as unfinished:
        unfinished.sendall(head.encode())
        assert b"100 Continue" in unfinished.recv(4096)
        os.kill(dead, signal.SIGKILL)
        assert eventually(lambda: stack.pid("api") not in (0, dead))
        assert eventually(
            lambda: httpx.get(stack.layout.url("api") + "/health/ready", timeout=2).is_success
        )
        unfinished.sendall(body)
        assert b" 201 " in unfinished.recv(4096)
    assert log.read_text().count("spawned: 'api'") == starts + 1  # it could listen at once


def test_delivered_alerts_survive_a_killed_inbox(stack: Stack) -> None:
    """The test alert of each `up` is in the inbox, which was killed meanwhile."""
    assert eventually(
        lambda: (
            sum(
                a["labels"]["alertname"] == "PipelineTest"
                for a in fetch_delivered_alerts(stack.layout.url("console"))
            )
            >= 2
        )
    )


def find_processes(stack: Stack) -> list[psutil.Process]:
    """Return the processes whose command line names the stack's folder, but not its guardian."""
    state = str(stack.layout.state)
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(state in word for word in process.info["cmdline"] or ())
        and guardian.__name__ not in process.info["cmdline"]
    ]


def test_down_ends_everything_and_up_keeps_the_data(stack: Stack) -> None:
    """After `down` no process of the stack is left; after the next `up` totals are kept."""
    processes = find_processes(stack)
    assert processes
    before = stack.json("slo", "--window", "1h")["slos"]
    assert "stopped" in stack.run("down").stdout
    assert not [process for process in processes if is_running(process)]
    assert "nothing was running" in stack.run("down").stdout
    assert stack.run("status").returncode == 2
    assert stack.run("slo").returncode == 2
    up = stack.run("up", "--mode", "native")
    assert up.returncode == 0, up.stdout + up.stderr
    after = {row["slo"]: row["total"] or 0 for row in stack.json("slo", "--window", "1h")["slos"]}
    assert all(
        after[row["slo"]] >= 0.9 * (row["total"] or 0)
        for row in before
        if row["slo"].startswith("readings.ingest")
    )
    prometheus = Prometheus(stack.layout.url("prometheus"))
    assert not prometheus.query(f"count_over_time({MISSING_PROGRAMS}[1h])"), "after a planned stop"


def test_a_program_that_is_stopped_pages_until_it_runs_again(stack: Stack) -> None:
    """The worker exposes nothing itself; supervisord declares it, and says that it is stopped."""
    prometheus = Prometheus(stack.layout.url("prometheus"))
    declared = {
        labels[names.LOG_PROGRAM] for labels, _ in prometheus.query(names.INSTANCES_DECLARED)
    }
    assert declared == {SUPERVISORD, *(process["name"] for process in stack.processes())}

    def missing_programs() -> set[str]:
        return {labels[names.LOG_PROGRAM] for labels, _ in prometheus.query(MISSING_PROGRAMS)}

    def delivered_programs() -> set[str]:
        delivered = fetch_delivered_alerts(stack.layout.url("console"))
        return {alert["labels"].get(names.LOG_PROGRAM, "") for alert in delivered}

    stack.supervisorctl("stop", "worker")
    assert eventually(lambda: missing_programs() == {"worker"}, 180), missing_programs()
    assert eventually(lambda: "worker" in delivered_programs())
    stack.supervisorctl("start", "worker")
    assert eventually(lambda: not missing_programs(), 180), missing_programs()


def test_up_replaces_a_stale_run(stack: Stack) -> None:
    """When supervisord was killed, `up` ends its orphans, says so, and starts the stack."""
    orphan = stack.pid("alertmanager")
    os.kill(int((stack.layout.state / "supervisord.pid").read_text()), signal.SIGKILL)
    up = stack.run("up", "--mode", "native")
    assert up.returncode == 0, up.stdout + up.stderr
    assert "stale run" in up.stdout
    assert stack.pid("alertmanager") != orphan


def test_up_works_without_a_job_that_fails(stack: Stack) -> None:
    """A channel that refuses us is reported, and everything is monitored."""
    headers = {"Authorization": f"Bearer {DEVELOPMENT_KEY}"}
    refused = {
        "id": "refused",
        "name": "No such channel",
        "kind": "flow_meter",
        "channel_id": 999_999,
        "fields": {"field1": "flow_lps"},
    }
    nodes = stack.layout.url("api") + "/api/v1/nodes"
    assert httpx.post(nodes, json=refused, headers=headers).status_code == 201
    for process in find_processes(stack):
        with suppress(psutil.NoSuchProcess):  # workers end with their master
            process.kill()
    up = stack.run("up", "--mode", "native")
    assert up.returncode == 0, up.stdout + up.stderr
    assert "thingspeak.sync fails for refused" in up.stdout
    prometheus = Prometheus(stack.layout.url("prometheus"))
    assert {target["health"] for target in prometheus.targets()} == {"up"}
    assert httpx.delete(f"{nodes}/refused", headers=headers).status_code == 204


def test_clean_removes_the_stack(stack: Stack) -> None:
    """`clean` stops the stack and removes its folder."""
    processes = find_processes(stack)
    assert processes
    assert stack.run("clean").returncode == 0
    assert not stack.layout.state.exists()
    assert not [process for process in processes if is_running(process)]
