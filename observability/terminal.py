"""Printing for people: consoles, tables and marks; neither needs colour or over 80 columns."""

import sys
from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from typing import NoReturn

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from observability.spec.problems import Problem, by_place

FINE = 0  # exit codes
NOT_FINE = 1
UNKNOWN = 2
COLOURS = {
    "fine": "green",
    "met": "green",
    "missed": "red",
    "not fine": "red",
    "too few": "cyan",
    "broken": "red",
    "idle": "dim",
    "unmeasured": "yellow",
    "disagree": "red",
    "unknown": "yellow",
}

out = Console(highlight=False, soft_wrap=True, emoji=False)  # `:100:` is a line number
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def fail(text: str, code: int) -> NoReturn:
    """Print the reason to stderr and exit."""
    err.print(f"[red]✗[/red] {escape(text)}")
    sys.exit(code)


def finish(*, is_fine: bool) -> NoReturn:
    """Exit with 0 when all is fine, else with 1."""
    if is_fine:
        sys.exit(FINE)
    sys.exit(NOT_FINE)


def format_mark(*, is_fine: bool) -> str:
    """Return a green tick or a red cross, as markup."""
    if is_fine:
        return "[green]✓[/green]"
    return "[red]✗[/red]"


def discard(_: str) -> None:
    """Print nothing: progress must not mix with the JSON on stdout."""


def show_running(label: str) -> Progress:
    """Return a line with the seconds that a step takes so far; on a terminal alone."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    progress = Progress(*columns, console=out, transient=True, disable=not out.is_terminal)
    progress.add_task(escape(label), total=None)
    return progress


def print_problems(problems: Iterable[Problem]) -> None:
    """Print every problem with its fix to stderr, in order of file and line.

    Neighbours that differ only in their place share one message.
    """
    listed = sorted(problems, key=by_place)
    for (check, message, fix), group in groupby(listed, key=attrgetter("check", "message", "fix")):
        *others, last = [problem.where for problem in group]
        for where in others:
            err.print(f"[red]✗[/red] [bold]{escape(where)}[/bold]")
        err.print(f"[red]✗[/red] [bold]{escape(last)}[/bold]: {escape(message)}")
        err.print(f"    fix: {escape(fix)}  [dim]({check})[/dim]")
    plural = "" if len(listed) == 1 else "s"
    err.print(f"{len(listed)} problem{plural}")


def print_wrapped(text: str, indent: int = 2) -> None:
    """Print prose, broken at the terminal's width."""
    out.print(Padding(text, (0, 0, 0, indent)), soft_wrap=False)


def make_table(title: str, *columns: str) -> Table:
    """Return a table without lines; columns whose name begins with `>` are aligned to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), title=title, title_justify="left")
    for column in columns:
        if column.startswith(">"):
            table.add_column(column[1:], justify="right", no_wrap=True)
        else:
            table.add_column(column, no_wrap=True)
    return table


def format_verdict(verdict: str) -> str:
    """Return the verdict in its colour, as markup."""
    colour = COLOURS[verdict]
    return f"[{colour}]{verdict}[/{colour}]"


def format_number(value: float | None, scale: float = 1) -> str:
    """Return a scaled number with two digits, or as an integer from ten up; `–` for None."""
    if value is None:
        return "–"
    scaled = value * scale
    if abs(scaled) < 9.5:
        return f"{scaled:.2g}"
    return f"{scaled:.0f}"


def format_objective(objective: float) -> str:
    """Return an objective in per cent, without trailing zeros and without the sign."""
    return f"{objective * 100:g}"


def format_percentage(ratio: float | None) -> str:
    """Return a ratio in per cent with three decimals, without the sign; `–` for None."""
    if ratio is None:
        return "–"
    return f"{ratio * 100:.3f}"
