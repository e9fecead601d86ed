"""The command that sends load, or compares two reports of it."""

import sys
from pathlib import Path
from typing import NoReturn

import click
from rich.markup import escape

from observability.commands import options
from observability.commands.comparison import print_comparison
from observability.commands.load_tables import print_load
from observability.devstack.layout import StackLayout
from observability.load import compare as comparisons
from observability.load import report as load_report
from observability.load.run import LoadProfile, LoadRunFailed
from observability.terminal import UNKNOWN, discard, err, fail, finish, out

MOST_USERS = 10_000  # each is a connection, and some memory of the machine that sends the load


@click.command()
@click.option(
    "--users",
    default=20,
    type=click.IntRange(1, MOST_USERS),
    show_default=True,
    help="Clients at the same time.",
)
@click.option(
    "--rate",
    default=50.0,
    type=click.FloatRange(0, min_open=True),
    show_default=True,
    help="Requests per second of all clients together.",
)
@click.option("--time", "length", default="60s", show_default=True, help="How long.")
@click.option("--host", default=None, help="Another API than the one of make up.")
@click.option("--reports", type=options.PATH, help="Folder of all reports; `reports` by default.")
@click.option(
    "--compare",
    nargs=2,
    type=options.PATH,
    metavar="OLD NEW",
    help="Send nothing; compare two reports' folders.",
)
@options.as_json
def load(
    users: int,
    rate: float,
    length: str,
    host: str | None,
    reports: Path | None,
    compare: tuple[Path, Path] | None,
    json_: bool,
) -> None:
    """Send the catalogue's load, judge it by the SLOs, report what clients and server saw."""
    if compare:
        print_comparison_of(*compare, json_=json_)
    layout = StackLayout.main()
    profile = LoadProfile(users, rate, length, host or layout.url("api"))
    print_line = discard if json_ else err.print

    def report_progress(text: str) -> None:
        print_line(f"  [dim]{escape(text)}[/dim]")

    try:
        report, folder = load_report.run_load(
            layout, layout.plan(), profile, reports or layout.reports, report_progress
        )
    except LoadRunFailed as error:
        fail(str(error), UNKNOWN)
    if json_:
        out.print_json(data=report)
    else:
        print_load(report, folder)
    sys.exit(load_report.EXIT_CODES[report["verdict"]])


def print_comparison_of(old: Path, new: Path, *, json_: bool) -> NoReturn:
    """Compare two reports, write the page beside the new one, and exit."""
    try:
        old_report = comparisons.read_report(old)
        new_report = comparisons.read_report(new)
    except comparisons.NoReport as error:
        fail(str(error), UNKNOWN)
    comparison = comparisons.compare_reports(old_report, new_report)
    page = new / comparisons.PAGE
    page.write_text(comparisons.render(old_report, new_report, comparison), encoding="utf-8")
    if json_:
        out.print_json(data=comparison)
    else:
        print_comparison(comparison, page)
    finish(is_fine=not comparison["broken"])
