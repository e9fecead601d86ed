"""The benchmarks, `python -m loadtests.bench COMMAND`.

`request` exits 0 within 20 % of the baseline, 1 above; `rules` judges nothing. Both exit 2 when
they could not measure.
"""

import json
import re
import subprocess
import sys

import click
import httpx
from jinja2 import Template
from rich.console import Console
from rich.markdown import Markdown

from loadtests.bench import measure, report
from loadtests.bench.report import BASELINE, HERE, Report
from loadtests.bench.rules import templates
from loadtests.bench.rules.report import run_benchmark
from observability.lib.http import Unreachable

DOCUMENT = HERE.parent.parent / "docs" / "benchmarks.md"
as_json = click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")


@click.group()
def cli() -> None:
    """Benchmarks that are part of the project; what they judge by is committed beside them."""


@cli.command("request")
@as_json
@click.option("--quick", is_flag=True, help="In process and as a whole only, with fewer rounds.")
@click.option(
    "--write",
    is_flag=True,
    help="Commit to what is measured now: write baseline.json and docs/benchmarks.md.",
)
@click.option(
    "--app", "factory", default="api.app:create_app", show_default=True, help="The app's factory."
)
def request_command(as_json: bool, quick: bool, write: bool, factory: str) -> None:
    """CPU per request of the app with everything on, beside the same view bare."""
    if quick and write:
        raise click.UsageError("--quick measures too little to commit to; leave it out")
    try:
        measured = report.run_benchmark(factory, quick=quick)
    except (RuntimeError, OSError, httpx.HTTPError) as error:
        sys.exit(print_unknown(str(error)))
    slack: float | None = measure.SLACK
    exit_code = measure.VERDICTS.index(measured["verdict"])
    if write and report.is_steady(measured):
        write_baseline(measured)
        write_document("request", render(measured, slack=None))
        slack = None
        exit_code = 0
    elif write:
        exit_code = print_unknown(
            "the noise is too large to commit to; run it again when the machine is quieter"
        )
        measured["verdict"] = measure.UNKNOWN
    if as_json:
        click.echo(json.dumps(measured, indent=2))
    else:
        Console().print(Markdown(render(measured, slack)))
    sys.exit(exit_code)


@cli.command("rules")
@as_json
@click.option("--write", is_flag=True, help="Write the tables of docs/benchmarks.md.")
@click.option("--routes", multiple=True, default=(10, 100, 1000), show_default=True)
@click.option("--past", default=100, help="Measure so many routes with 30 days of the past, too.")
@click.option("--seconds", default=120, show_default=True, help="The length of a run.")
def rules_command(
    as_json: bool, write: bool, routes: tuple[int, ...], past: int, seconds: int
) -> None:
    """CPU, memory and lag of our rules beside Sloth's, and the cost of generate and check."""
    try:
        measured = run_benchmark(routes, past, seconds)
    except (RuntimeError, OSError, Unreachable, subprocess.CalledProcessError) as error:
        sys.exit(print_unknown(str(error)))
    tables = templates.render("report.md", **measured)
    if write:
        write_document("rules", tables)
    click.echo(json.dumps(measured, indent=2) if as_json else tables)


def print_unknown(reason: str) -> int:
    """Print to stderr why there is no verdict, and return the exit code.

    Standard output stays empty, or holds the report alone.
    """
    click.echo(f"could not tell: {reason}", err=True)
    return measure.VERDICTS.index(measure.UNKNOWN)


def write_baseline(measured: Report) -> None:
    """Write the measured ratios to baseline.json, by which later runs are judged."""
    committed = {}
    for row in measured["requests"]:
        ratios = row["ratios"].items()
        committed[row["request"]] = {way: ratio["ratio"] for way, ratio in ratios}
    BASELINE.write_text(json.dumps(committed, indent=2) + "\n", encoding="utf-8")


def write_document(section: str, tables: str) -> None:
    """Replace the tables of a section of docs/benchmarks.md."""
    marked = re.compile(rf"(<!-- {section}: begin -->\n).*(<!-- {section}: end -->)", re.DOTALL)
    text = DOCUMENT.read_text(encoding="utf-8")
    text = marked.sub(lambda marks: f"{marks[1]}{tables}\n{marks[2]}", text)
    DOCUMENT.write_text(text, encoding="utf-8")


def render(measured: Report, slack: float | None) -> str:
    """Return the report of requests in Markdown, with verdicts unless `slack` is None."""
    template = Template((HERE / "request.md").read_text(encoding="utf-8"))
    return str(template.render(measured, slack=slack))


if __name__ == "__main__":
    cli(prog_name="python -m loadtests.bench")
