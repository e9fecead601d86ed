"""Printing of problems and progress for people."""

from io import StringIO

import pytest
from rich.console import Console

from observability import terminal
from observability.devstack.steps import Steps
from observability.spec.problems import Problem
from observability.terminal import print_problems


def test_problems_are_printed_in_order_of_file_and_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Lines are compared as numbers, whatever the messages say; all problems are counted."""
    places = ["policy.yaml:2: owner", "catalogue.yaml:100: watch", "catalogue.yaml:9: routes"]
    messages = ["a is wrong", "b is wrong", "c is wrong"]
    problems = [Problem(where, text, "x") for where, text in zip(places, messages, strict=True)]
    print_problems(problems)
    assert capsys.readouterr().err.splitlines() == [
        "✗ catalogue.yaml:9: routes: c is wrong",
        "    fix: x  (catalogue)",
        "✗ catalogue.yaml:100: watch: b is wrong",
        "    fix: x  (catalogue)",
        "✗ policy.yaml:2: owner: a is wrong",
        "    fix: x  (catalogue)",
        "3 problems",
    ]


def test_neighbours_with_the_same_problem_share_its_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Message and fix are printed once, after the last of the neighbours."""
    alike = [Problem(f"[{place}]", "is missing", "add it", "catalogue") for place in ("c", "a")]
    print_problems([alike[0], Problem("b", "is missing", "add another"), alike[1]])
    assert capsys.readouterr().err.splitlines() == [
        "✗ [a]",
        "✗ [c]: is missing",
        "    fix: add it  (catalogue)",
        "✗ b: is missing",
        "    fix: add another  (catalogue)",
        "3 problems",
    ]


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_shows_the_step_that_runs(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its seconds, until it is done; a pipe or file gets finished steps alone."""
    shown = StringIO()
    console = Console(file=shown, force_terminal=is_terminal, color_system=None)
    monkeypatch.setattr(terminal, "out", console)
    with Steps(lambda _: None, terminal.show_running)("building images"):
        pass
    assert ("building images 0:00:00" in shown.getvalue()) == is_terminal
    assert bool(shown.getvalue()) == is_terminal
