"""Ids with dots and hyphens, of routes, dependencies, jobs and the service, in every output."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from observability.checks.server_tools import list_commands
from observability.console.app import create_app
from observability.devstack.layout import StackLayout
from observability.generate import prometheus, registry
from observability.lib import scope
from observability.spec import names
from observability.spec.plan import Plan
from tests.observability.compiler_support import SERVICE, SMALL, program

ROUTE, OTHER_ROUTE = "v2.orders.get-by-id", "v2.orders-get.by-id"
DEPENDENCY, JOB, SERVICE_ID = "payment-gateway.eu", "mail.send-all_now", "shop.api-eu"
RENAMED = {
    "thingspeak.sync": JOB,
    "thingspeak": DEPENDENCY,
    "orders.get": ROUTE,
    "orders.delete": OTHER_ROUTE,
    "service: evara-api": f"service: {SERVICE_ID}",
}
UID = re.compile(r"[A-Za-z0-9_-]{1,40}")  # Grafana's rule
LINK = re.compile(r"\]\(([^)#]+\.md)(?:#([^)]+))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CASE = """
rule_files: [rules.yaml]
evaluation_interval: 5s
group_eval_order: GROUPS
tests:
  - interval: 5s
    input_series:
      - {series: 'COUNT, route="things.get-one", status="5xx"}', values: "0+50x60"}
      - {series: 'COUNT, route="things-get.one", status="2xx"}', values: "0+50x60"}
      - {series: 'COUNT, route="thingsxget-one", status="5xx"}', values: "0+50x60"}
    promql_expr_test:
      - eval_time: 3m
        expr: count by (slo, subject) (ALERTS{tier="T0", alertstate="firing"})
        exp_samples:
          - {labels: '{slo="things.get-one-availability", subject="things.get-one"}', value: 1}
      - eval_time: 3m
        expr: count by (slo) (service_slo:total:count)
        exp_samples:
          - {labels: '{slo="things.get-one-availability"}', value: 1}
          - {labels: '{slo="things-get.one-availability"}', value: 1}
""".replace("COUNT", 'evara_http_request_duration_seconds_count{job="api", instance="a"')


@pytest.fixture
def renamed(plan_of: Callable[..., Plan]) -> Plan:
    """Return the Plan of the fixed service with ids of every allowed form."""
    text = SERVICE.read_text(encoding="utf-8")
    for old, new in RENAMED.items():
        assert old in text
        text = text.replace(old, new)
    plan = plan_of(text)
    assert {ROUTE, OTHER_ROUTE, DEPENDENCY, JOB} <= {slo.subject for slo in plan.slos}
    return plan


def test_servers_accept_every_output(
    renamed: Plan, openapi: dict[str, Any], tmp_path: Path
) -> None:
    """promtool runs every case, and amtool reads the matchers."""
    registry.write(registry.render(renamed, openapi), tmp_path)
    tools = {tool: program(tool) for tool in ("promtool", "amtool")}
    commands = list_commands(tmp_path / registry.GENERATED, tools, None)
    assert len(commands) > 8
    for command in commands:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr


def test_files_uids_and_links_are_valid(renamed: Plan, openapi: dict[str, Any]) -> None:
    """Each subject has a page of its own, and each link of the runbook has a target."""
    files = {str(path): text for path, text in registry.render(renamed, openapi).items()}
    assert all(re.fullmatch(r"[\w./-]+", path) for path in files)
    boards = [
        json.loads(text)
        for path, text in files.items()
        if "/dashboards/" in path and path.endswith(".json")
    ]
    assert boards
    for board in boards:
        assert UID.fullmatch(board["uid"])
        assert board["uid"].startswith("shop__api-eu-")
    pages = {path: text for path, text in files.items() if "/runbook" in path}
    for path, text in pages.items():
        for target, fragment in LINK.findall(text):
            page = pages[str(Path(path).parent / target)]
            anchors = [re.sub(r"[^\w -]", "", title).lower() for title in HEADING.findall(page)]
            assert not fragment or anchors.count(fragment) == 1, (path, target, fragment)


def test_ids_that_differ_in_a_dot_are_two_slos(
    plan_of: Callable[..., Plan], promtool: Callable[..., Any], tmp_path: Path
) -> None:
    """A dot in an id matches only a dot, and what the catalogue does not declare is no SLO."""
    route = "  things.list: {http: GET /things/, next_steps: [Look at it.]}\n"
    routes = route.replace("things.list", "things.get-one") + route.replace(
        "things.list", "things-get.one"
    ).replace("/things/", "/things/old/")
    plan = plan_of(SMALL.replace(route, routes))
    (tmp_path / "rules.yaml").write_text(prometheus.render(plan)[prometheus.RULES], "utf-8")
    groups = [scope.group_name(plan, group) for group in names.GROUPS]
    (tmp_path / "case.yaml").write_text(CASE.replace("GROUPS", str(groups)), encoding="utf-8")
    result = promtool("test", "rules", tmp_path / "case.yaml")
    assert result.returncode == 0, result.stdout + result.stderr


def test_groups_of_another_service_are_not_read(plan_of: Callable[..., Plan]) -> None:
    """`shop.api` is not `shop-api`, neither as a group of rules nor as a dashboard."""
    dotted, hyphened = (
        plan_of(SMALL.replace("service: small", f"service: {service}"))
        for service in ("shop.api", "shop-api")
    )
    own = scope.matchers(dotted, names.RULE_FAILURES)[names.RULE_GROUP].removeprefix("~")
    assert re.fullmatch(own, f"/rules.yaml;{scope.group_name(dotted, names.FINE_GROUP)}")
    assert not re.fullmatch(own, f"/rules.yaml;{scope.group_name(hyphened, names.FINE_GROUP)}")
    assert names.board_uid(dotted.scope, "slo") != names.board_uid(hyphened.scope, "slo")


@pytest.mark.parametrize(
    "path",
    [
        *(f"/slo/{subject}-availability" for subject in (ROUTE, OTHER_ROUTE, DEPENDENCY)),
        *(f"/slo/{JOB}-freshness", f"/routes/{ROUTE}", f"/routes/{OTHER_ROUTE}"),
    ],
)
def test_the_console_has_their_pages(renamed: Plan, tmp_path: Path, path: str) -> None:
    """An id is a part of a URL as it is; the servers do not answer here."""
    layout = StackLayout(tmp_path, dict.fromkeys(StackLayout.main().ports, 9), tmp_path)
    response = create_app(layout, renamed).test_client().get(path)
    assert response.status_code == 200
    assert path.rsplit("/", 1)[1] in response.text
