"""The tables of a load report."""

from itertools import groupby
from operator import itemgetter
from pathlib import Path

from rich.markup import escape

from observability.lib.json_object import Json
from observability.load.report import PAGE
from observability.terminal import (
    COLOURS,
    format_number,
    format_objective,
    format_percentage,
    format_verdict,
    make_table,
    out,
    print_wrapped,
)

MARKS = {"met": "✓", "missed": "✗", "too few": "~", "disagree": "≠", "unknown": "?"}
LISTED_ERRORS = 10
SCALES = {"requests": 1, "failed": 1, "rate": 1, "p50": 1000, "p95": 1000, "p99": 1000}
SIDE_COLUMNS = ("route", ">requests", ">failed", ">req/s", ">p50 ms", ">p95 ms", ">p99 ms")


def print_load(report: Json, folder: Path) -> None:
    """Print objectives, numbers, errors, disagreements, the verdict and the report's path."""
    print_objectives(report["objectives"])
    print_sides(report)
    print_errors(report["errors"][:LISTED_ERRORS])
    print_findings(report["findings"])
    out.print()
    print_verdict(report)
    page = folder / PAGE
    out.print(f"  Report: {escape(str(page))}")


def print_objectives(objectives: list[Json]) -> None:
    """Print each SLO as the clients measured it."""
    table = make_table("", "SLO", ">objective", ">measured", ">requests", "verdict")
    for row in objectives:
        objective = format_objective(row["objective"])
        measured = format_percentage(row["measured"])
        verdict = format_verdict(row["verdict"])
        table.add_row(row["slo"], objective, measured, format_requests(row), verdict)
    out.print(table)


def format_requests(objective: Json) -> str:
    """Return the number of requests; where a verdict needs more, as in `8 of 20`."""
    total = objective["total"]
    if objective["verdict"] == "too few":
        return f"{total} of {objective['events_needed']}"
    return str(total)


def print_sides(report: Json) -> None:
    """Print each route's numbers as clients and server counted them.

    `≠` marks a disagreement. Without the server's side the clients' numbers stand alone.
    """
    title = "Client measurements"
    if report["total"]["server"]:
        title = "Each pair is clients/server"
    table = make_table(f"\n{title}", *SIDE_COLUMNS)
    for row in [*report["routes"], report["total"]]:
        route = row["route"]
        disagreements = {
            finding["number"] for finding in report["findings"] if finding["route"] == route
        }
        cells = [format_sides(row, key, differs=key in disagreements) for key in SCALES]
        table.add_row(route, *cells)
    out.print(table)


def format_sides(row: Json, key: str, *, differs: bool) -> str:
    """Return one number of a route as clients/server, or the clients' alone."""
    text = format_side(row["clients"], key)
    if row["server"]:
        text += "/" + format_side(row["server"], key)
    if differs:
        text += "≠"
    return text


def format_side(side: Json, key: str) -> str:
    """Return a count as it is, and anything else with few digits."""
    value = side[key]
    if isinstance(value, int):
        return str(value)
    return format_number(value, SCALES[key])


def print_errors(errors: list[Json]) -> None:
    """Print how often each error came."""
    for error in errors:
        text = escape(error["what"])
        out.print(f"  [red]{error['count']} ×[/red] {text}")


def print_findings(findings: list[Json]) -> None:
    """Print the disagreements between clients and server, and below each kind what it means."""
    by_meaning = itemgetter("meaning")
    for meaning, group in groupby(sorted(findings, key=by_meaning), by_meaning):
        for finding in group:
            print_wrapped(f"[red]≠[/red] {escape(finding['text'])}")
        print_wrapped(f"[dim]{escape(meaning)}[/dim]", 4)


def print_verdict(report: Json) -> None:
    """Print the verdict and, unless the summary has it, why the server's side is missing."""
    verdict = report["verdict"]
    colour = COLOURS[verdict]
    mark = f"[{colour}]{MARKS[verdict]}[/{colour}]"
    print_wrapped(f"{mark} {escape(report['summary'])}", 0)
    missing = report["server"]["missing"]
    if missing and verdict != "unknown":
        print_wrapped(escape(missing))
