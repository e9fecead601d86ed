"""The words that the comparison of two load reports prints; the numbers are on its page."""

from pathlib import Path

from rich.markup import escape

from observability.lib.json_object import Json
from observability.terminal import format_objective, format_percentage, out, print_wrapped


def print_comparison(comparison: Json, page: Path) -> None:
    """Print the SLOs that are newly missed, reasons to doubt, and the page's path."""
    unlike = comparison["unlike"]
    if unlike:
        print_warning(f"The runs had different settings: {'; '.join(unlike)}.")
    unsure = comparison["unsure"]
    broken = comparison["broken"]
    for row in broken:
        print_broken(row)
    if not broken:
        tick = "[yellow]?[/yellow]" if unsure else "[green]✓[/green]"
        out.print(f"{tick} No objective got worse.")
    if unsure:
        print_warning(unsure)
    out.print(f"  Numbers of every route: {escape(str(page))}")


def print_warning(text: str) -> None:
    """Print a reason to doubt the comparison."""
    print_wrapped(f"[yellow]![/yellow] {escape(text)}", 0)


def print_broken(row: Json) -> None:
    """Print an SLO that is missed now and was not before."""
    new = format_percentage(row["new"])
    objective = format_objective(row["objective"])
    before = "was not measured"
    if row["old"] is not None:
        before = "was met" if row["was"] == "met" else "was not missed"
        new = f"{format_percentage(row['old'])} % → {new}"
    news = f"{before}, is missed now: {new} %, objective {objective} %"
    out.print(f"[red]✗[/red] {row['slo']}: {news}")
