"""What the command line prints: tables that fit 80 columns and can be read without colour; it imports what it shows."""

import sys
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from observability.load import compare
from observability.slo import verdicts

out, err = (
    Console(highlight=False, soft_wrap=True),
    Console(stderr=True, highlight=False, soft_wrap=True),
)
COLOURS = {
    "met": "green",
    "missed": "red",
    "idle": "dim",
    "unmeasured": "yellow",
    "disagree": "red",
    "unknown": "yellow",
}
MARKS = {"met": "✓", "missed": "✗", "disagree": "≠", "unknown": "?"}
BAR = 5
WIDE = 80  # columns that the table of SLOs needs at its widest
LISTED = 10  # errors


def fail(text: str, code: int) -> None:
    err.print(f"[red]✗[/red] {escape(text)}")
    sys.exit(code)


def table(title: str, *columns: str) -> Table:
    """A table without lines; the columns that begin with `>` hold numbers."""
    made = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), title=title, title_justify="left")
    for column in columns:
        made.add_column(
            column.lstrip(">"), justify="right" if column.startswith(">") else "left", no_wrap=True
        )
    return made


def promise(row: dict[str, Any]) -> tuple[str, str, str]:
    """Name, goal and measured share of an SLO, as cells."""
    return (
        row["slo"],
        f"{row['objective'] * 100:g}",
        "–" if row["measured"] is None else f"{row['measured'] * 100:.3f}",
    )


def coloured(verdict: str) -> str:
    return f"[{COLOURS[verdict]}]{verdict}[/{COLOURS[verdict]}]"


def print_slos(rows: list[verdicts.Row], window: str) -> None:
    wide = out.width >= WIDE
    columns = ("SLO", ">goal", ">measured", ">events", "budget left", ">burn", "verdict")
    made = table(
        f"SLOs over {window}",
        *(columns if wide else ("SLO", ">goal", ">measured", ">left", "verdict")),
    )
    for row in rows:
        events = "–" if row.total is None else f"{row.total:.0f}"
        rate = row.burn_rate
        burn = (
            "–"
            if rate is None
            else ">999"
            if rate >= 999.5
            else f"{rate:.{0 if rate >= 99.5 else 1}f}"
        )
        left = bar(row.budget_remaining)
        made.add_row(
            *promise(vars(row)),
            *((events, left, burn) if wide else (left.split()[-1],)),
            coloured(row.verdict),
        )
    out.print(made)
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in verdicts.Verdict}
    out.print(", ".join(f"{number} {verdict}" for verdict, number in counts.items() if number))
    out.print("[dim]Events are counted by scrapes: those of the last 10 s may be missing.[/dim]")


def bar(left: float | None) -> str:
    """A budget as blocks and per cent."""
    if left is None:
        return "–"
    full = round(max(0.0, min(1.0, left)) * BAR)
    return f"{'█' * full}{'░' * (BAR - full)} {'<-999' if left < -9.995 else f'{left * 100:.0f}'}%"


def wrapped(text: str, indent: int = 2) -> None:
    """Prose, broken at the terminal's width."""
    out.print(Padding(text, (0, 0, 0, indent)), soft_wrap=False)


def number(value: float | None, scale: float = 1) -> str:
    """Two digits for what is small, none behind the point for the rest."""
    return (
        "–"
        if value is None
        else f"{value * scale:.2g}"
        if abs(value * scale) < 9.5
        else f"{value * scale:.0f}"
    )


def print_load(report: dict[str, Any], folder: Path) -> None:
    promises = table("", "SLO", ">goal", ">measured", ">requests", "verdict")
    for row in report["objectives"]:
        promises.add_row(*promise(row), str(row["total"]), coloured(row["verdict"]))
    out.print(promises)
    differ = {(finding["route"], finding["number"]) for finding in report["findings"]}
    pairs = "Each pair is clients/server" if report["total"]["server"] else "What the clients saw"
    sides = table(
        f"\n{pairs}",
        "route",
        ">requests",
        ">failed",
        ">req/s",
        *(f">{key} ms" for key in ("p50", "p95", "p99")),
    )
    for row in (*report["routes"], report["total"]):

        def cell(key: str, scale: float = 1, row: dict[str, Any] = row) -> str:
            both = [
                f"{side[key]}" if isinstance(side[key], int) else number(side[key], scale)
                for side in (row["clients"], row["server"])
                if side
            ]
            return "/".join(both) + ("≠" if (row["route"], key) in differ else "")

        sides.add_row(
            row["route"],
            cell("requests"),
            cell("failed"),
            cell("rate"),
            *(cell(key, 1000) for key in ("p50", "p95", "p99")),
        )
    out.print(sides)
    for error in report["errors"][:LISTED]:
        out.print(f"  [red]{error['count']} ×[/red] {escape(error['what'])}")
    by_meaning = itemgetter("meaning")
    for meaning, findings in groupby(sorted(report["findings"], key=by_meaning), by_meaning):
        for finding in findings:
            wrapped(f"[red]≠[/red] {escape(finding['text'])}")
        wrapped(f"[dim]{escape(meaning)}[/dim]", 4)
    verdict = report["verdict"]
    out.print()
    wrapped(
        f"[{COLOURS[verdict]}]{MARKS[verdict]}[/{COLOURS[verdict]}] {escape(report['summary'])}", 0
    )
    if report["server"]["missing"] and verdict != "unknown":
        wrapped(escape(report["server"]["missing"]))
    out.print(f"  Report: {escape(str(folder / 'index.html'))}")


def print_comparison(found: dict[str, Any], page: Path) -> None:
    made = table(
        "What the clients saw, old → new",
        "route\nrequests",
        ">req/s",
        ">failing %",
        ">p50 ms",
        ">p95 ms",
        ">p99 ms",
    )
    for row in found["routes"]:
        cells = []
        for key in compare.FIGURES:
            scale = {"rate": 1, "failing": 100}.get(key, 1000)
            old, new = row["old"][key], row["new"][key]
            change = compare.change(key, old, new)
            cells.append(
                f"{number(old, scale)} → {number(new, scale)}\n{f'[dim]({change})[/dim]' if row['few'] else change}"
            )
        counts = " → ".join(
            "–" if row[when]["requests"] is None else str(row[when]["requests"])
            for when in ("old", "new")
        )
        made.add_row(f"{row['route']}\n[dim]{counts}[/dim]", *cells)
    out.print(made)
    if any(row["few"] for row in found["routes"]):
        wrapped(
            f"[dim](Changes in brackets may be chance: fewer than {compare.FEW} requests in one of the runs.)[/dim]",
            0,
        )
    if found["unlike"]:
        wrapped(
            f"[yellow]![/yellow] The runs are not alike: {escape('; '.join(found['unlike']))}.", 0
        )
    for row in found["broken"]:
        measured = f"{row['old'] * 100:.3f} % → {row['new'] * 100:.3f} %"
        out.print(
            f"[red]✗[/red] {row['slo']}: was met, is missed now: {measured}, promised {row['objective'] * 100:g} %"
        )
    if not found["broken"]:
        out.print(
            f"{'[yellow]?[/yellow]' if found['unsure'] else '[green]✓[/green]'} Nothing that was met is missed now."
        )
    if found["unsure"]:
        wrapped(f"[yellow]![/yellow] {found['unsure']}", 0)
    out.print(f"  Page: {escape(str(page))}")
