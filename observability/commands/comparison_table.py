"""The table of the comparison of two load reports."""

from pathlib import Path
from typing import Any

from rich.markup import escape

from observability.load import compare
from observability.terminal import make_table, number, out, print_wrapped

SCALES = {"rate": 1, "failing": 100, "p50": 1000, "p95": 1000, "p99": 1000}
COLUMNS = ("route\nrequests", ">req/s", ">failing %", ">p50 ms", ">p95 ms", ">p99 ms")


def print_comparison(comparison: dict[str, Any], page: Path) -> None:
    """Print two reports' numbers by route, the SLOs that are no longer met, and the page's path."""
    print_changes(comparison["routes"])
    if comparison["unlike"]:
        differences = escape("; ".join(comparison["unlike"]))
        print_wrapped(f"[yellow]![/yellow] The runs are not alike: {differences}.", 0)
    print_broken(comparison["broken"])
    unsure = comparison["unsure"]
    if not comparison["broken"]:
        mark = "[yellow]?[/yellow]" if unsure else "[green]✓[/green]"
        out.print(f"{mark} Nothing that was met is missed now.")
    if unsure:
        print_wrapped(f"[yellow]![/yellow] {unsure}", 0)
    out.print(f"  Page: {escape(str(page))}")


def print_changes(routes: list[dict[str, Any]]) -> None:
    """Print each route's numbers, old → new; changes of few requests stand in brackets."""
    table = make_table("What the clients saw, old → new", *COLUMNS)
    for row in routes:
        old = request_count(row["old"])
        new = request_count(row["new"])
        changes = [describe_change(row, key) for key in SCALES]
        table.add_row(f"{row['route']}\n[dim]{old} → {new}[/dim]", *changes)
    out.print(table)
    if any(row["few"] for row in routes):
        reason = f"fewer than {compare.FEW_REQUESTS} requests in one of the runs"
        print_wrapped(f"[dim](Changes in brackets may be chance: {reason}.)[/dim]", 0)


def describe_change(row: dict[str, Any], key: str) -> str:
    """Return one number of a route as `old → new`, and below it the change."""
    old = row["old"][key]
    new = row["new"][key]
    scale = SCALES[key]
    change = compare.describe_change(key, old, new)
    if row["few"]:
        change = f"[dim]({change})[/dim]"
    return f"{number(old, scale)} → {number(new, scale)}\n{change}"


def request_count(side: dict[str, Any]) -> str:
    """Return the number of requests as text; `–` when the route was not in the report."""
    if side["requests"] is None:
        return "–"
    return str(side["requests"])


def print_broken(objectives: list[dict[str, Any]]) -> None:
    """Print the SLOs that were met and are missed now."""
    for row in objectives:
        old = f"{row['old'] * 100:.3f} %"
        new = f"{row['new'] * 100:.3f} %"
        goal = f"{row['objective'] * 100:g} %"
        news = f"was met, is missed now: {old} → {new}, promised {goal}"
        out.print(f"[red]✗[/red] {row['slo']}: {news}")
