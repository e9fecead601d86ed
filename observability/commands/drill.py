"""The command that runs drills."""

from collections.abc import Callable
from dataclasses import asdict

import click
from rich.markup import escape

from observability.commands import options
from observability.drill import runner
from observability.drill.alerts import format_alert
from observability.drill.registry import DEFAULT_DRILL, Drill, drills
from observability.spec import loading
from observability.spec.plan import Plan
from observability.terminal import NOT_FINE, discard, fail, finish, format_mark, out

NO_ALERT = (
    "cannot run: no alert of the catalogue tells of this fault; "
    "fix: write `drill: {drill.name}` in the alert under `watch:` that does"
)


@click.command()
@click.argument("name", required=False)
@click.option("--list", "list_", is_flag=True, help="Name the drills.")
@click.option("--all", "all_", is_flag=True, help="Run every drill, one after the other.")
@options.as_json
def drill(name: str | None, list_: bool, all_: bool, json_: bool) -> None:
    """Break something on purpose, beside the stack, and see its alert arrive and resolve."""
    plan = loading.load_plan()
    drill_by_name = drills(plan)
    if list_:
        list_drills(drill_by_name, json_=json_)
        return
    if name is not None and name not in drill_by_name:
        known = ", ".join(drill_by_name)
        fail(f"there is no drill {name!r}; known: {known}", NOT_FINE)
    if name is not None and all_:
        fail(f"--all includes {name}; fix: leave out the name, or --all", NOT_FINE)
    if plan.drill_route is None:
        fail("drills call a route; fix: name it under `drill:` in the catalogue", NOT_FINE)
    if not plan.probe_every:
        fail("drills start the prober; fix: add `probe:` to the catalogue", NOT_FINE)
    print_line = discard if json_ else out.print
    if all_:
        selected = [drill for drill in drill_by_name.values() if drill.required]
    else:
        selected = [drill_by_name[name or DEFAULT_DRILL]]
    for drill in selected:
        if not drill.required:
            fail(f"{drill.name} {NO_ALERT.format(drill=drill)}", NOT_FINE)
    results = [run_drill(drill, plan, plan.drill_route.path, print_line) for drill in selected]
    if json_:
        out.print_json(data={"drills": list(map(asdict, results))})
    finish(is_fine=all(result.passed for result in results))


def list_drills(drill_by_name: dict[str, Drill], *, json_: bool) -> None:
    """Print each drill's name, what it breaks, and whether an alert tells of it."""
    every_drill = drill_by_name.values()
    if json_:
        listed = [
            {
                "name": drill.name,
                "what": drill.description,
                "alerts": list(map(format_alert, sorted(drill.required))),
            }
            for drill in every_drill
        ]
        out.print_json(data={"drills": listed})
        return
    for drill in every_drill:
        out.print(f"  [bold]{drill.name}[/bold]  {drill.description}")
        if not drill.required:
            out.print(f"    [yellow]{NO_ALERT.format(drill=drill)}[/yellow]")


def run_drill(
    drill: Drill, plan: Plan, path: str, print_line: Callable[[str], None]
) -> runner.Result:
    """Run one drill on a stack of its own and print its steps and its verdict.

    Texts of the drill are escaped: they are no markup.
    """

    def print_step(text: str) -> None:
        print_line(f"  {escape(text)}")

    print_line(f"[bold]{drill.name}[/bold]: {drill.description}")
    result = runner.run(drill, plan, path, print_step)
    verdict = escape(result.verdict)
    print_line(f"{format_mark(is_fine=result.passed)} {drill.name}: {verdict}")
    return result
