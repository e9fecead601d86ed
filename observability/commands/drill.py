"""The command that runs drills."""

import sys
from collections.abc import Callable
from dataclasses import asdict

import click
from rich.markup import escape

from observability.commands import options
from observability.drill import runner
from observability.drill.registry import DEFAULT_DRILL, DRILLS, Drill
from observability.spec import loading
from observability.terminal import FINE, NOT_FINE, discard, fail, out


@click.command()
@click.argument("name", required=False)
@click.option("--list", "list_", is_flag=True, help="Name the drills.")
@click.option("--all", "all_", is_flag=True, help="Run every drill, one after the other.")
@options.as_json
def drill(name: str | None, list_: bool, all_: bool, json_: bool) -> None:
    """Break something on purpose, beside the stack, and see its alert arrive and resolve."""
    if list_:
        list_drills(json_=json_)
        return
    if name is not None and name not in DRILLS:
        fail(f"there is no drill {name!r}; known: {', '.join(DRILLS)}", NOT_FINE)
    selected = list(DRILLS.values())
    if not all_:
        selected = [DRILLS[name or DEFAULT_DRILL]]
    report = discard if json_ else out.print
    results = [run_drill(one, report) for one in selected]
    if json_:
        out.print_json(data={"drills": list(map(asdict, results))})
    sys.exit(FINE if all(result.passed for result in results) else NOT_FINE)


def list_drills(*, json_: bool) -> None:
    """Print each drill's name and what it breaks."""
    drills = DRILLS.values()
    if json_:
        listed = [{"name": drill.name, "what": drill.description} for drill in drills]
        out.print_json(data={"drills": listed})
    else:
        for drill in drills:
            out.print(f"  [bold]{drill.name}[/bold]  {drill.description}")


def run_drill(drill: Drill, report: Callable[[str], None]) -> runner.Result:
    """Run one drill and report its steps and its verdict."""
    report(f"[bold]{drill.name}[/bold]: {drill.description}")
    result = runner.run(drill, loading.load_plan(), lambda line: report(f"  {escape(line)}"))
    mark = "[green]✓[/green]" if result.passed else "[red]✗[/red]"
    report(f"{mark} {drill.name}: {escape(result.verdict)}")
    return result
