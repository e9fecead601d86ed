"""Both files against each other, where tests of one mistake in one file do not reach."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from observability.__main__ import cli
from observability.spec.problems import Problem

SLOW = "{threshold: 1s, objective: 99.5}"


@pytest.mark.parametrize("slow", ["95", "94.9"])
def test_a_quicker_promise_that_holds_a_slower_one_is_named(
    problems_of: Callable[..., list[Problem]], slow: str
) -> None:
    """95 % within 200 ms includes 95 % within a second, which can never be missed alone."""
    [problem] = problems_of(((SLOW, SLOW.replace("99.5", slow)),))
    assert problem.where.endswith(": defaults.latency")
    assert problem.message == f"95 within 200ms makes {slow} within 1s say nothing"
    assert problem.fix == "promise more than 95 within 1s, or leave one out"


@pytest.mark.parametrize("command", ["check", "generate"])
def test_a_wrong_name_is_a_problem_and_no_traceback(
    files: Callable[..., tuple[Path, Path]], tmp_path: Path, command: str
) -> None:
    """A probed route that nobody declared is listed; nothing is written."""
    catalogue, policy = files(
        (("routes: [nodes.list, health.ready]", "routes: [nodes.lst, health.ready]"),)
    )
    words = [
        command,
        "--catalogue",
        str(catalogue),
        "--policy",
        str(policy),
        "--out",
        str(tmp_path / "out"),
    ]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert ": probe.routes: route 'nodes.lst' is not declared" in result.stderr
    assert not (tmp_path / "out").exists()


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
    found = {
        problem.where.split(": ")[1]: problem.message for problem in problems_of((taken, nobody))
    }
    assert found == {
        "dependencies.gateway": "is the gateway's name, whose SLO has it",
        "gateway.owner": "owner 'nobody' is not declared",
    }
