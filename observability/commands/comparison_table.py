"""The table of the comparison of two load reports."""

from pathlib import Path
from typing import Any

from rich.markup import escape

from observability.load import compare
from observability.terminal import (
    format_goal,
    format_number,
    format_percentage,
    make_table,
    out,
    print_wrapped,
)

SCALES = {"rate": 1, "failing": 100, "p50": 1000, "p95": 1000, "p99": 1000}
COLUMNS = ("route\nrequests", ">req/s", ">failing %", ">p50 ms", ">p95 ms", ">p99 ms")


def print_comparison(comparison: dict[str, Any], page: Path) -> None:
    """Print two reports' numbers by route, the SLOs that are no longer met, and the page's path."""
    print_changes(comparison["routes"])
    unlike = comparison["unlike"]
    if unlike:
        print_warning(f"The runs are not alike: {'; '.join(unlike)}.")
    unsure = comparison["unsure"]
    broken = comparison["broken"]
    for row in broken:
        print_broken(row)
    if not broken:
        tick = "[yellow]?[/yellow]" if unsure else "[green]✓[/green]"
        out.print(f"{tick} Nothing that was met is missed now.")
    if unsure:
        print_warning(unsure)
    out.print(f"  Page: {escape(str(page))}")


def print_warning(text: str) -> None:
    """Print a reason to doubt the comparison."""
    print_wrapped(f"[yellow]![/yellow] {escape(text)}", 0)


def print_changes(routes: list[dict[str, Any]]) -> None:
    """Print each route's numbers, old → new; changes of few requests stand in brackets."""
    table = make_table("What the clients saw, old → new", *COLUMNS)
    for row in routes:
        changes = [describe_change(row, key) for key in SCALES]
        table.add_row(describe_route(row), *changes)
    out.print(table)
    if any(row["few"] for row in routes):
        reason = f"fewer than {compare.FEW_REQUESTS} requests in one of the runs"
        print_wrapped(f"[dim](Changes in brackets may be chance: {reason}.)[/dim]", 0)


def describe_route(row: dict[str, Any]) -> str:
    """Return a route, and below it its requests in both runs."""
    old = format_request_count(row["old"])
    new = format_request_count(row["new"])
    return f"{row['route']}\n[dim]{old} → {new}[/dim]"


def format_request_count(side: dict[str, Any]) -> str:
    """Return the number of requests as text; `–` when the route was not in the report."""
    requests = side["requests"]
    if requests is None:
        return "–"
    return str(requests)


def describe_change(row: dict[str, Any], key: str) -> str:
    """Return one number of a route as `old → new`, and below it the change.

    The change is faint and in brackets where few requests make it doubtful.
    """
    old = row["old"][key]
    new = row["new"][key]
    change = compare.describe_change(key, old, new)
    if row["few"]:
        change = f"[dim]({change})[/dim]"
    scale = SCALES[key]
    return f"{format_number(old, scale)} → {format_number(new, scale)}\n{change}"


def print_broken(row: dict[str, Any]) -> None:
    """Print an SLO that was met and is missed now."""
    old = format_percentage(row["old"])
    new = format_percentage(row["new"])
    goal = format_goal(row["objective"])
    news = f"was met, is missed now: {old} % → {new} %, promised {goal} %"
    out.print(f"[red]✗[/red] {row['slo']}: {news}")
