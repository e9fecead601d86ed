"""Commands that start, inspect and stop the stack."""

import time

import click
from rich.markup import escape

from observability.checks import contract, lint
from observability.commands import options
from observability.commands.slo_table import print_slos
from observability.devstack import addresses, binaries, modes
from observability.devstack.containers import DONE
from observability.devstack.layout import COMPOSE, NATIVE, ROOT, StackLayout
from observability.devstack.packages import MissingServers
from observability.devstack.steps import StackError, Steps
from observability.devstack.supervisor import RUNNING
from observability.generate import registry
from observability.lib.http import Unreachable
from observability.lib.json_object import Json
from observability.lib.prometheus import ServicePrometheus
from observability.slo import verdicts
from observability.spec.plan import Plan
from observability.spec.problems import Invalid, Problem
from observability.terminal import UNKNOWN, fail, finish, format_mark, out, show_running

FINE_STATES = {RUNNING, DONE}
JSON_KEYS = ("name", "statename", "pid")


@click.command()
@click.option(
    "--mode",
    type=click.Choice([modes.AUTO, NATIVE, COMPOSE]),
    default=modes.AUTO,
    help="auto: containers where Docker answers.",
)
def up(mode: str) -> None:
    """Bring the stack up, wait until it works, and show the SLOs."""
    layout = StackLayout.main()
    chosen, why = modes.choose_mode(mode, layout)
    plan = layout.plan(chosen)
    problems = contract.check(plan, registry.read_contract())  # else the API refuses to start
    problems += lint.check_retention(plan, ROOT / lint.COMPOSE_SERVICES)
    if not plan.probe_every:
        message = "is missing, but the prober of the stack needs it"
        problems.append(Problem("catalogue.yaml: probe", message, "add `probe:`"))
    if problems:
        raise Invalid(problems)
    started = time.monotonic()
    out.print(f"[bold]Evara[/bold], {chosen} ({escape(why)}): {modes.DESCRIPTIONS[chosen]}")
    modes.stack_of(chosen).up(layout, plan, Steps(out.print, show_running))
    seconds = time.monotonic() - started
    out.print(f"[green]✓[/green] up in {seconds:.1f} s\n")
    print_overview(layout, plan)


def print_overview(layout: StackLayout, plan: Plan) -> None:
    """Print the addresses of a running stack, its SLOs and the next commands."""
    print_addresses(layout)
    window = verdicts.parse_window(plan, None)
    prometheus = ServicePrometheus(layout.url("prometheus"), plan)
    try:
        rows = verdicts.measure(plan, prometheus, window)
    except Unreachable as error:
        fail(str(error), UNKNOWN)
    print_slos(rows, window.name)
    key = modes.key_for_shell(layout)
    if plan.drill_route:
        url = layout.url("api") + plan.drill_route.path
        out.print(f'\nTry it: curl -H "Authorization: Bearer {key}" {url}', soft_wrap=True)
    out.print("Next: make load, make slo, make drill; make down stops it.")


def print_addresses(layout: StackLayout) -> None:
    """Print the pages that respond, and an empty line."""
    for label, url in addresses.find_addresses(layout):
        out.print(f"  {label:<28}{url}")
    out.print()


@click.command()
def fetch() -> None:
    """Find or unpack the servers, without starting anything."""
    folder = StackLayout.main().servers
    try:
        servers = binaries.ensure_servers(folder, lambda text: out.print(f"  {text}"))
    except MissingServers as error:
        fail(str(error), UNKNOWN)
    for name, server in servers.items():
        out.print(f"  [dim]{name:<14}{server.path}[/dim]")


@click.command()
def down() -> None:
    """Stop the stack; what it stored stays."""
    layout = StackLayout.main()
    if modes.current_stack(layout).down(layout):
        out.print("[green]✓[/green] stopped; make up brings it back with its data")
    else:
        out.print("nothing was running")


@click.command()
def clean() -> None:
    """Stop the stack and remove everything that it wrote."""
    layout = StackLayout.main()
    removed = ", ".join(path.name for path in modes.current_stack(layout).clean(layout))
    if not removed:
        removed = "nothing: it was clean"
    out.print(f"[green]✓[/green] removed {removed}")


@click.command()
@options.as_json
def status(json_: bool) -> None:
    """Show pages and every process; exit 1 when one does not run, 2 when the stack is down."""
    layout = StackLayout.main()
    try:
        processes = modes.current_stack(layout).processes(layout)
    except StackError as error:
        fail(str(error), UNKNOWN)
    if not processes:
        fail("the stack does not run; fix: make up", UNKNOWN)
    if json_:
        listed = [{key: process[key] for key in JSON_KEYS} for process in processes]
        out.print_json(data=listed)
    else:
        print_addresses(layout)
        for process in processes:
            print_process(process)
    states = {process["statename"] for process in processes}
    finish(is_fine=states <= FINE_STATES)


def print_process(process: Json) -> None:
    """Print one process, its state in green or red."""
    state = process["statename"]
    colour = "green" if state in FINE_STATES else "red"
    name = f"{process['name']:<18}"
    out.print(f"  {name}[{colour}]{state:<10}[/{colour}] {process['description']}")


@click.command()
@click.argument("program", required=False)
@click.option("--lines", default=40, show_default=True)
def logs(program: str | None, lines: int) -> None:
    """Show the last log lines of one process, or of all."""
    layout = StackLayout.main()
    for line in modes.current_stack(layout).tail(layout, program, lines):
        out.print(escape(line))


@click.command()
def doctor() -> None:
    """Check everything that `up` depends on."""
    layout = StackLayout.main()
    mode, why = modes.choose_mode(modes.AUTO, layout)
    chosen = ("mode", True, f"{mode}: {why}")
    results = [chosen, *modes.stack_of(mode).doctor(layout)]
    for subject, is_fine, explanation in results:
        out.print(f"  {format_mark(is_fine=is_fine)} {subject:<24}{escape(explanation)}")
    finish(is_fine=all(is_fine for _, is_fine, _ in results))
