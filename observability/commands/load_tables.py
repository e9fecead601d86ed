"""The tables of a load report, and of the comparison of two."""

from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from rich.markup import escape

from observability.load import compare
from observability.terminal import COLOURS, coloured, make_table, out, percentage, print_wrapped

MARKS = {"met": "✓", "missed": "✗", "disagree": "≠", "unknown": "?"}
LISTED_ERRORS = 10
LATENCIES = ("p50", "p95", "p99")


def number(value: float | None, scale: float = 1) -> str:
    """Return a scaled number with two digits, or as an integer from ten up; `–` for None."""
    if value is None:
        return "–"
    scaled = value * scale
    if abs(scaled) < 9.5:
        return f"{scaled:.2g}"
    return f"{scaled:.0f}"


def print_load(report: dict[str, Any], folder: Path) -> None:
    """Print objectives, numbers, errors, disagreements, the verdict and the report's path."""
    print_objectives(report["objectives"])
    print_sides(report)
    for error in report["errors"][:LISTED_ERRORS]:
        out.print(f"  [red]{error['count']} ×[/red] {escape(error['what'])}")
    print_findings(report["findings"])
    verdict = report["verdict"]
    colour, mark = COLOURS[verdict], MARKS[verdict]
    out.print()
    print_wrapped(f"[{colour}]{mark}[/{colour}] {escape(report['summary'])}", 0)
    missing = report["server"]["missing"]
    if missing and verdict != "unknown":
        print_wrapped(escape(missing))
    out.print(f"  Report: {escape(str(folder / 'index.html'))}")


def print_objectives(objectives: list[dict[str, Any]]) -> None:
    """Print each SLO as the clients measured it."""
    table = make_table("", "SLO", ">goal", ">measured", ">requests", "verdict")
    for row in objectives:
        goal = f"{row['objective'] * 100:g}"
        measured = percentage(row["measured"])
        table.add_row(row["slo"], goal, measured, str(row["total"]), coloured(row["verdict"]))
    out.print(table)


def print_sides(report: dict[str, Any]) -> None:
    """Print each route's numbers as clients and server counted them; `≠` marks a disagreement."""
    disagreements = {(finding["route"], finding["number"]) for finding in report["findings"]}
    title = "Each pair is clients/server" if report["total"]["server"] else "What the clients saw"
    latencies = [f">{key} ms" for key in LATENCIES]
    table = make_table(f"\n{title}", "route", ">requests", ">failed", ">req/s", *latencies)
    for row in [*report["routes"], report["total"]]:
        cells = [row["route"]]
        for key in ("requests", "failed", "rate", *LATENCIES):
            scale = 1000 if key in LATENCIES else 1
            mark = "≠" if (row["route"], key) in disagreements else ""
            cells.append(both_sides(row, key, scale) + mark)
        table.add_row(*cells)
    out.print(table)


def both_sides(row: dict[str, Any], key: str, scale: float) -> str:
    """Return one number of a route as clients/server, or the clients' alone."""
    texts = []
    for side in (row["clients"], row["server"]):
        if side:
            value = side[key]
            texts.append(str(value) if isinstance(value, int) else number(value, scale))
    return "/".join(texts)


def print_findings(findings: list[dict[str, Any]]) -> None:
    """Print the disagreements between clients and server, and below each kind what it means."""
    by_meaning = itemgetter("meaning")
    for meaning, group in groupby(sorted(findings, key=by_meaning), by_meaning):
        for finding in group:
            print_wrapped(f"[red]≠[/red] {escape(finding['text'])}")
        print_wrapped(f"[dim]{escape(meaning)}[/dim]", 4)


def print_comparison(comparison: dict[str, Any], page: Path) -> None:
    """Print two reports' numbers by route, the SLOs that are no longer met, and the page's path."""
    print_changes(comparison["routes"])
    if comparison["unlike"]:
        differences = escape("; ".join(comparison["unlike"]))
        print_wrapped(f"[yellow]![/yellow] The runs are not alike: {differences}.", 0)
    for row in comparison["broken"]:
        measured = f"{row['old'] * 100:.3f} % → {row['new'] * 100:.3f} %"
        goal = f"{row['objective'] * 100:g} %"
        out.print(f"[red]✗[/red] {row['slo']}: was met, is missed now: {measured}, promised {goal}")
    unsure = comparison["unsure"]
    if not comparison["broken"]:
        mark = "[yellow]?[/yellow]" if unsure else "[green]✓[/green]"
        out.print(f"{mark} Nothing that was met is missed now.")
    if unsure:
        print_wrapped(f"[yellow]![/yellow] {unsure}", 0)
    out.print(f"  Page: {escape(str(page))}")


def print_changes(routes: list[dict[str, Any]]) -> None:
    """Print each route's numbers, old → new; changes of few requests stand in brackets."""
    names = ("route\nrequests", ">req/s", ">failing %", *(f">{key} ms" for key in LATENCIES))
    table = make_table("What the clients saw, old → new", *names)
    for row in routes:
        changes = [change(row, key) for key in compare.FIGURES]
        counts = " → ".join(request_count(row[when]) for when in ("old", "new"))
        table.add_row(f"{row['route']}\n[dim]{counts}[/dim]", *changes)
    out.print(table)
    if any(row["few"] for row in routes):
        reason = f"fewer than {compare.FEW} requests in one of the runs"
        print_wrapped(f"[dim](Changes in brackets may be chance: {reason}.)[/dim]", 0)


def change(row: dict[str, Any], key: str) -> str:
    """Return one number of a route as `old → new`, and below it the change."""
    scale = {"rate": 1, "failing": 100}.get(key, 1000)
    old, new = row["old"][key], row["new"][key]
    difference = compare.change(key, old, new)
    if row["few"]:
        difference = f"[dim]({difference})[/dim]"
    return f"{number(old, scale)} → {number(new, scale)}\n{difference}"


def request_count(side: dict[str, Any]) -> str:
    """Return the number of requests as text; `–` when the route was not in the report."""
    if side["requests"] is None:
        return "–"
    return str(side["requests"])
