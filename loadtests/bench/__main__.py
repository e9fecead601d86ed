"""`python -m loadtests.bench request`: exit 0 within 20 % of the baseline, 1 above, 2 unknown."""

import json
import os
import platform
import re
import sys
import tempfile
from contextlib import redirect_stderr
from math import hypot
from pathlib import Path
from typing import Any

import click
import httpx
import yaml
from jinja2 import Template
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import Progress

from loadtests.bench import apps, measure, request
from loadtests.bench.measure import Costs, Estimate, difference

HERE = Path(__file__).parent
BASELINE, DOCUMENT = HERE / "baseline.json", HERE.parent.parent / "docs" / "benchmarks.md"
MARKED = re.compile(r"(<!-- request: begin -->\n).*(<!-- request: end -->)", re.DOTALL)
ROUNDS, QUICK, FAR = 60, 40, 8


@click.group()
def cli() -> None:
    """Benchmarks that are part of the project; what they judge by is committed beside them."""


@cli.command("request")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--quick", is_flag=True, help="In process and as a whole only, with fewer rounds.")
@click.option(
    "--write",
    is_flag=True,
    help="Commit to what is measured now: write baseline.json and docs/benchmarks.md.",
)
@click.option(
    "--app", "factory", default="api.app:create_app", show_default=True, help="The app's factory."
)
def request_(as_json: bool, quick: bool, write: bool, factory: str) -> None:
    """CPU per request of the app with everything on, beside the same view bare."""
    if quick and write:
        raise click.UsageError("--quick measures too little to commit to; leave it out")
    try:
        report = measured(factory, quick=quick)
    except (RuntimeError, OSError, httpx.HTTPError) as error:
        click.echo(f"could not tell: {error}", err=True)
        sys.exit(measure.VERDICTS.index(measure.UNKNOWN))
    page = Template((HERE / "request.md").read_text(encoding="utf-8"))
    if write and not all(
        found["steady"] for row in report["requests"] for found in row["ratios"].values()
    ):
        click.echo(
            "could not tell: the noise is too large to commit to; "
            "run it again when the machine is quieter",
            err=True,
        )
        write, report["verdict"] = False, measure.UNKNOWN
    if write:
        committed = {
            row["request"]: {way: found["ratio"] for way, found in row["ratios"].items()}
            for row in report["requests"]
        }
        BASELINE.write_text(json.dumps(committed, indent=2) + "\n", encoding="utf-8")
        text = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(
            MARKED.sub(lambda marks: f"{marks[1]}{page.render(report)}\n{marks[2]}", text),
            encoding="utf-8",
        )
    click.echo(json.dumps(report, indent=2)) if as_json else Console().print(
        Markdown(page.render(report, slack=None if write else measure.SLACK))
    )
    sys.exit(0 if write else measure.VERDICTS.index(report["verdict"]))


def measured(factory: str, *, quick: bool) -> dict[str, Any]:
    """Run the benchmark and return its report; raise RuntimeError for a wrong answer."""
    rounds, rounds_far = (QUICK, 0) if quick else (ROUNDS, FAR)
    console = Console(file=sys.stderr)
    with (
        tempfile.TemporaryDirectory() as made,
        Progress(console=console, redirect_stderr=False, transient=True) as progress,
    ):
        folder = Path(made)
        task = progress.add_task(
            "measuring", total=len(request.KINDS) * (rounds + rounds_far + 2 * measure.WARM_UP)
        )
        apps.settle(folder)
        with (folder / "lines.log").open("w") as log:
            with redirect_stderr(log):  # the lines of the apps go there from now on
                variants = apps.variants(factory, pieces=not quick)
                headers = apps.prepare(variants[apps.ALL].app)
            near = request.in_process(variants, headers, rounds, lambda: progress.advance(task))
        far = (
            {}
            if quick
            else request.end_to_end(factory, headers, folder, FAR, lambda: progress.advance(task))
        )
    baseline = json.loads(BASELINE.read_text(encoding="utf-8")) if BASELINE.exists() else {}
    rows: list[dict[str, Any]] = [
        {
            "request": name,
            "ratios": {
                way: judged(costs[name], baseline.get(name, {}).get(way))
                for way, costs in (("in process", near), ("end to end", far))
                if name in costs
            },
            "pieces": [] if quick else pieces(near[name], variants),
        }
        for name in near
    ]
    verdicts = [found["verdict"] for row in rows for found in row["ratios"].values()]
    machine = (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{platform.system()} on {platform.machine()}"
    )
    return {
        "machine": machine,
        "rounds": rounds,
        "requests": rows,
        "verdict": measure.overall(verdicts),
    }


def judged(costs: Costs, committed: float | None) -> dict[str, Any]:
    found = measure.ratio(costs, apps.ALL, apps.BARE)
    micros = {
        f"{name}_us": round(measure.estimate(costs[name]).value * 1e6, 1)
        for name in (apps.BARE, apps.ALL)
    }
    said = {
        "steady": measure.steady(found),
        "committed": committed,
        "verdict": measure.verdict(found, committed),
    }
    return micros | {"ratio": round(found.value, 2), "margin": round(found.margin, 2)} | said


def pieces(costs: Costs, variants: dict[str, apps.Variant]) -> list[dict[str, Any]]:
    """Return the cost of each piece, dearest first; `us` is None where it is unknown."""
    words = yaml.safe_load((HERE / "pieces.yaml").read_text(encoding="utf-8"))
    whole = difference(costs, apps.ALL, apps.BARE)
    found = {
        name: difference(costs, *apps.pair(name))
        for name in costs
        if name not in (apps.ALL, apps.BARE)
    }
    parts = [cost for name, cost in found.items() if name != apps.SAMPLED]
    rest = Estimate(
        whole.value - sum(cost.value for cost in parts),
        hypot(*(cost.margin for cost in (whole, *parts))),
    )
    rows = [*sorted(found.items(), key=lambda row: -row[1].value), ("rest", rest)]
    absent: list[tuple[str, Estimate | None]] = [
        (name, None) for name in variants if name not in costs
    ]
    return [
        {
            "piece": words.get(name, [name, ""])[0],
            "us": cost and round(cost.value * 1e6, 1),
            "margin_us": cost and round(cost.margin * 1e6, 1),
            "buys": words.get(name, [name, ""])[1],
        }
        for name, cost in [*rows, *absent]
    ]


if __name__ == "__main__":
    cli(prog_name="python -m loadtests.bench")
