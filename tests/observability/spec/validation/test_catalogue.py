"""Names in the catalogue that are declared nowhere, or taken."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from observability.__main__ import cli
from observability.spec.problems import Problem


@pytest.mark.parametrize("command", ["check", "generate"])
def test_a_wrong_name_is_a_problem_and_no_traceback(
    files: Callable[..., tuple[Path, Path]], tmp_path: Path, command: str
) -> None:
    """A probed route that nobody declared is listed; nothing is written."""
    edit = ("routes: [orders.list, health.ready]", "routes: [orders.lst, health.ready]")
    catalogue, policy = files((edit,))
    paths = ["--catalogue", str(catalogue), "--policy", str(policy), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli, [command, *paths])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert ": probe.routes: route 'orders.lst' is not declared" in result.stderr
    assert not (tmp_path / "out").exists()


def test_scope_of_a_service_is_checked(problems_of: Callable[..., list[Problem]]) -> None:
    """Dashboards have names that fit, and rules keep the labels that they sum by."""
    edit = (
        "period: 30d\n",
        "period: 30d\nenvironment: a-very-long-environment\n"
        "scrape: {api: '', labels: {job: x, cluster: eu}, replica_label: instance}\n",
    )
    messages = {problem.where.split(": ")[1]: problem.message for problem in problems_of((edit,))}
    assert messages == {
        "environment": "'evara-api_a-very-long-environment' is too long: Grafana's uid "
        "evara-api_a-very-long-environment-dependencies would have 46 characters, of which 40 are "
        "allowed",
        "scrape.api": "'' does not fit",
        "scrape.labels.job": "'job' does not fit",
        "scrape.replica_label": "'instance' does not fit",
    }


def test_the_gateway_has_its_name_and_an_owner(problems_of: Callable[..., list[Problem]]) -> None:
    """A dependency of its name would make a second SLO of one name; its owner is a declared one."""
    taken = (
        "dependencies:\n",
        "dependencies:\n  gateway: {availability: 99, next_steps: [Look.]}\n",
    )
    nobody = (
        "  availability: 99.9\n  owner: upstream\n",
        "  availability: 99.9\n  owner: nobody\n",
    )
    problems = problems_of((taken, nobody))
    message_by_key = {problem.where.split(": ")[1]: problem.message for problem in problems}
    assert message_by_key == {
        "dependencies.gateway": "is the gateway's name, or that of requests to unknown routes",
        "gateway.owner": "owner 'nobody' is not declared",
    }
