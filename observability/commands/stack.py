"""Commands that start, inspect and stop the stack."""

import sys
import time

import click
from rich.markup import escape

from observability.checks import routes
from observability.commands import options
from observability.commands.slo_table import print_slos
from observability.devstack import addresses, binaries, modes
from observability.devstack.containers import DONE
from observability.devstack.layout import COMPOSE, NATIVE, StackLayout
from observability.devstack.packages import MissingServers
from observability.devstack.steps import StackError, Steps
from observability.devstack.supervisor import RUNNING
from observability.generate import registry
from observability.lib.prometheus import Prometheus
from observability.slo import verdicts
from observability.spec.plan import Plan
from observability.spec.problems import Invalid
from observability.terminal import FINE, NOT_FINE, UNKNOWN, fail, out


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
    problems = routes.check(plan, registry.contract())
    if problems:  # the API would refuse to start
        raise Invalid(problems)
    started = time.monotonic()
    out.print(f"[bold]Evara[/bold], {chosen} ({escape(why)}): {modes.DESCRIPTIONS[chosen]}")
    try:
        modes.stack_of(chosen).up(layout, plan, Steps(out.print))
    except StackError as error:
        fail(str(error), NOT_FINE)
    out.print(f"[green]✓[/green] up in {time.monotonic() - started:.1f} s\n")
    print_overview(layout, plan)


def print_overview(layout: StackLayout, plan: Plan) -> None:
    """Print the addresses of a running stack, its SLOs and the next commands."""
    for label, url in addresses.find_addresses(layout):
        out.print(f"  {label:<28}{url}")
    out.print()
    window = verdicts.parse_window(plan, None)
    rows = verdicts.measure(plan, Prometheus(layout.url("prometheus")), window)
    print_slos(rows, window.name)
    header = f'-H "Authorization: Bearer {modes.key_for_shell(layout)}"'
    out.print(f"\nAsk it: curl {header} {layout.url('api')}/api/v1/nodes", soft_wrap=True)
    out.print("Next: make load, make slo, make drill; make down stops it.")


@click.command()
def fetch() -> None:
    """Find or unpack the servers, without starting anything."""
    try:
        servers = binaries.ensure_servers(
            StackLayout.main().servers, lambda text: out.print(f"  {text}")
        )
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
    removed = [path.name for path in modes.current_stack(layout).clean(layout)]
    listed = ", ".join(removed) or "nothing: it was clean"
    out.print(f"[green]✓[/green] removed {listed}")


@click.command()
@options.as_json
def status(json_: bool) -> None:
    """Show every process; exit 1 when one does not run, 2 when the stack is down."""
    layout = StackLayout.main()
    processes = modes.current_stack(layout).processes(layout)
    if not processes:
        fail("the stack does not run; start it with: make up", UNKNOWN)
    is_fine = [process["statename"] in (RUNNING, DONE) for process in processes]
    if json_:
        keys = ("name", "statename", "pid")
        out.print_json(data=[{key: process[key] for key in keys} for process in processes])
    else:
        for process, fine in zip(processes, is_fine, strict=True):
            colour = "green" if fine else "red"
            state = f"[{colour}]{process['statename']:<10}[/{colour}]"
            out.print(f"  {process['name']:<18}{state} {process['description']}")
    sys.exit(FINE if all(is_fine) else NOT_FINE)


@click.command()
@click.argument("program", required=False)
@click.option("--lines", default=40, show_default=True)
def logs(program: str | None, lines: int) -> None:
    """Show the last log lines of one process, or of all."""
    try:
        layout = StackLayout.main()
        for line in modes.current_stack(layout).tail(layout, program, lines):
            out.print(escape(line))
    except StackError as error:
        fail(str(error), NOT_FINE)


@click.command()
def doctor() -> None:
    """Check everything that `up` depends on."""
    layout = StackLayout.main()
    mode, why = modes.choose_mode(modes.AUTO, layout)
    results = [("mode", True, f"{mode}: {why}"), *modes.stack_of(mode).doctor(layout)]
    for subject, fine, explanation in results:
        mark = "[green]✓[/green]" if fine else "[red]✗[/red]"
        out.print(f"  {mark} {subject:<24}{escape(explanation)}")
    sys.exit(FINE if all(fine for _, fine, _ in results) else NOT_FINE)
