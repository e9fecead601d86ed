"""The command line: `python -m observability COMMAND`. Exit codes: 0 fine, 1 not fine, 2 could not tell."""

import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from observability import terminal
from observability.checks import dashboards, drift, lint, routes
from observability.devstack import binaries, compose, modes, readiness
from observability.devstack.layout import COMPOSE, NATIVE, StackLayout
from observability.drill import runner as drills
from observability.generate import registry
from observability.lib.http import Unreachable
from observability.lib.prometheus import Prometheus
from observability.load import compare as comparison
from observability.load import report as load_reports
from observability.load import run as loads
from observability.slo import verdicts as slos
from observability.spec import plan
from observability.spec.problems import Invalid, Problem
from observability.spec.schema import CATALOGUE, POLICY
from observability.terminal import err, fail, out, print_slos

FINE, WRONG, UNKNOWN = 0, 1, 2
as_json = click.option("--json", "json_", is_flag=True, help="Print JSON for scripts.")
PATH = click.Path(path_type=Path)
catalogue_option = click.option(
    "--catalogue", type=PATH, default=CATALOGUE, help="Another service's catalogue."
)
policy_option = click.option("--policy", type=PATH, default=POLICY, help="Another policy.")
openapi_option = click.option(
    "--openapi", type=PATH, default=registry.OPENAPI, help="The service's contract."
)
out_option = click.option(
    "--out", "folder", type=PATH, default=registry.ROOT, help="Where generated files go."
)


class Cli(click.Group):
    """Whatever command meets a catalogue that is not valid says so in the same way."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Invalid as error:
            if "--json" in sys.argv:
                out.print_json(data={"problems": list(map(vars, error.problems))})
            else:
                show(error.problems)
            sys.exit(WRONG)


@click.group(cls=Cli)
def cli() -> None:
    """Everything that watches the API, generated from one catalogue."""


def show(problems: Iterable[Problem]) -> None:
    """Every problem with its mend; places with the same problem stand together."""
    listed = sorted(
        problems, key=lambda problem: (problem.check, problem.message, problem.fix, problem.where)
    )
    for (check, message, fix), alike in groupby(
        listed, key=lambda problem: (problem.check, problem.message, problem.fix)
    ):
        *others, last = [problem.where for problem in alike]
        for where in others:
            err.print(f"[red]✗[/red] [bold]{escape(where)}[/bold]")
        err.print(f"[red]✗[/red] [bold]{escape(last)}[/bold]: {escape(message)}")
        err.print(f"    mend: {escape(fix)}  [dim]({check})[/dim]")
    err.print(f"{len(listed)} problem{'s' if len(listed) != 1 else ''}")


def quiet(_: str) -> None:
    """For progress that would stand between scripts and their JSON."""


def render(
    catalogue: Path, policy: Path, openapi: Path
) -> tuple[plan.Plan, dict[str, Any], dict[Path, str]]:
    document = registry.contract(openapi)
    try:
        made = plan.from_files(catalogue, policy)
    except Invalid as error:
        more = routes.check(plan.build(*error.salvaged), document) if error.salvaged else []
        raise Invalid(error.problems + more) from error
    return made, document, registry.render(made, document)


@cli.command()
@catalogue_option
@policy_option
@openapi_option
@out_option
def generate(catalogue: Path, policy: Path, openapi: Path, folder: Path) -> None:
    """Write everything that follows from the catalogue."""
    made, document, files = render(catalogue, policy, openapi)
    if problems := routes.check(made, document):
        show(problems)
        fail("nothing was written", WRONG)
    changed = registry.write(files, folder)
    for path in changed:
        out.print(f"  {path}")
    out.print(f"[green]✓[/green] {len(made.slos)} SLOs, {len(files)} files, {len(changed)} changed")


@cli.command()
@catalogue_option
@policy_option
@openapi_option
@out_option
@as_json
def check(catalogue: Path, policy: Path, openapi: Path, folder: Path, json_: bool) -> None:
    """Compare generated files, rules and contract with the catalogue."""
    made, document, files = render(catalogue, policy, openapi)
    problems = (
        routes.check(made, document)
        + drift.check(files, folder)
        + lint.check(made, folder)
        + dashboards.check(made, files)
    )
    path, loki = binaries.search_path(StackLayout.main().servers), binaries.find_log_server("loki")
    failures, missing = lint.tools(folder, path, loki) if not problems else ([], [])
    problems += failures
    if json_:
        out.print_json(data={"problems": list(map(vars, problems)), "missing_tools": missing})
    elif problems:
        show(problems)
    else:
        mark = "[yellow]?[/yellow]" if missing else "[green]✓[/green]"
        out.print(
            f"{mark} {len(made.slos)} SLOs, {len(files)} generated files: drift, contract, lint and boards are fine"
        )
    if missing and not problems:
        fail(
            f"could not tell whether the servers accept them: {', '.join(missing)} missing; make up unpacks them",
            UNKNOWN,
        )
    sys.exit(WRONG if problems else FINE)


@cli.command("slo")
@click.option("--window", help="Look back so far, as in 1h; the catalogue's period by default.")
@click.option("--strict", is_flag=True, help="Fail when an SLO is idle, too.")
@as_json
def slo_command(window: str | None, strict: bool, json_: bool) -> None:
    """Judge every SLO: met, missed, idle or unmeasured."""
    layout = StackLayout.main()
    made = layout.plan()
    try:
        span = slos.parse_window(made, window)
        rows = slos.measure(made, Prometheus(layout.url("prometheus")), span)
    except (Unreachable, ValueError) as error:
        fail(str(error), UNKNOWN)
    if json_:
        out.print_json(data=slos.as_json(rows, span))
    else:
        print_slos(rows, span.name)
    sys.exit(slos.exit_code(rows, strict))


@cli.command()
@click.option(
    "--users",
    default=20,
    type=click.IntRange(1),
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
@click.option("--reports", type=PATH, help="Folder of all reports; `reports` by default.")
@click.option(
    "--compare",
    nargs=2,
    type=PATH,
    metavar="OLD NEW",
    help="Send nothing; compare two reports' folders.",
)
@as_json
def load(
    users: int,
    rate: float,
    length: str,
    host: str | None,
    reports: Path | None,
    compare: tuple[Path, Path] | None,
    json_: bool,
) -> None:
    """Send load as the catalogue says, judge it by the SLOs, and report what clients and server saw."""
    if compare:
        compare_loads(*compare, json_=json_)
    layout = StackLayout.main()
    made = layout.plan()
    order = loads.Order(users, rate, length, host or layout.url("api"))
    try:
        say = quiet if json_ else err.print
        report, folder = load_reports.run_load(
            layout,
            made,
            order,
            reports or layout.reports,
            lambda text: say(f"  [dim]{escape(text)}[/dim]"),
        )
    except loads.Failed as error:
        fail(str(error), UNKNOWN)
    if json_:
        out.print_json(data=report)
    else:
        terminal.print_load(report, folder)
    sys.exit(load_reports.EXIT_CODES[report["verdict"]])


def compare_loads(old: Path, new: Path, *, json_: bool) -> None:
    try:
        before, after = comparison.read(old), comparison.read(new)
    except comparison.NoReport as error:
        fail(str(error), UNKNOWN)
    found = comparison.compare(before, after)
    page = new / comparison.PAGE
    page.write_text(
        load_reports.page(
            comparison.PAGE,
            old=before,
            new=after,
            change=comparison.change,
            few=comparison.FEW,
            **found,
        ),
        encoding="utf-8",
    )
    if json_:
        out.print_json(data=found)
    else:
        terminal.print_comparison(found, page)
    sys.exit(WRONG if found["broken"] else FINE)


@cli.command("drill")
@click.argument("name", required=False)
@click.option("--list", "list_", is_flag=True, help="Name the drills.")
@click.option("--all", "all_", is_flag=True, help="Run every drill, one after the other.")
@as_json
def drill_command(name: str | None, list_: bool, all_: bool, json_: bool) -> None:
    """Break something on purpose, beside the stack, and see its alert arrive and resolve."""
    if list_ and json_:
        out.print_json(
            data={
                "drills": [
                    {"name": drill.name, "what": drill.what} for drill in drills.DRILLS.values()
                ]
            }
        )
        return
    if list_:
        for drill in drills.DRILLS.values():
            out.print(f"  [bold]{drill.name}[/bold]  {drill.what}")
        return
    if name is not None and name not in drills.DRILLS:
        fail(f"there is no drill {name!r}; known: {', '.join(drills.DRILLS)}", WRONG)
    say = quiet if json_ else out.print
    results = []
    for drill in drills.DRILLS.values() if all_ else [drills.DRILLS[name or drills.DEFAULT]]:
        say(f"[bold]{drill.name}[/bold]: {drill.what}")
        result = drills.run(drill, plan.from_files(), lambda line: say(f"  {escape(line)}"))
        results.append(result)
        mark = "[green]✓[/green]" if result.passed else "[red]✗[/red]"
        say(f"{mark} {drill.name}: {escape(result.verdict)}")
    if json_:
        out.print_json(data={"drills": list(map(asdict, results))})
    sys.exit(FINE if all(result.passed for result in results) else WRONG)


@cli.command()
@click.option(
    "--mode",
    type=click.Choice([modes.AUTO, NATIVE, COMPOSE]),
    default=modes.AUTO,
    help="auto: containers where Docker answers.",
)
def up(mode: str) -> None:
    """Bring the stack up, wait until it works, and show the SLOs."""
    layout = StackLayout.main()
    chosen, why = modes.choose(mode, layout)
    made = layout.plan(chosen)
    if problems := routes.check(made, registry.contract()):  # the API would refuse to start
        raise Invalid(problems)
    started = time.monotonic()
    out.print(f"[bold]Evara[/bold], {chosen} ({escape(why)}): {modes.WHAT[chosen]}")
    try:
        modes.of(chosen).up(layout, made, readiness.Steps(lambda text: out.print(text)))
    except readiness.Refused as error:
        fail(str(error), WRONG)
    out.print(f"[green]✓[/green] up in {time.monotonic() - started:.1f} s\n")
    for label, url in readiness.addresses(layout):
        out.print(f"  {label:<28}{url}")
    out.print()
    window = slos.parse_window(made, None)
    print_slos(slos.measure(made, Prometheus(layout.url("prometheus")), window), window.name)
    out.print(
        f'\nAsk it: curl -H "Authorization: Bearer {modes.key(layout)}" {layout.url("api")}/api/v1/nodes',
        soft_wrap=True,
    )
    out.print("Next: make load, make slo, make drill; make down stops it.")


@cli.command()
def fetch() -> None:
    """Find or unpack the servers, without starting anything."""
    try:
        found = binaries.ensure(StackLayout.main().servers, lambda text: out.print(f"  {text}"))
    except binaries.MissingServers as error:
        fail(str(error), UNKNOWN)
    for name, server in found.items():
        out.print(f"  [dim]{name:<14}{server.path}[/dim]")


@cli.command()
def down() -> None:
    """Stop the stack; what it stored stays."""
    layout = StackLayout.main()
    out.print(
        "[green]✓[/green] stopped; make up brings it back with its data"
        if modes.current(layout).down(layout)
        else "nothing was running"
    )


@cli.command()
def clean() -> None:
    """Stop the stack and remove everything that it wrote."""
    layout = StackLayout.main()
    gone = modes.current(layout).clean(layout)
    out.print(
        f"[green]✓[/green] removed {', '.join(str(path.name) for path in gone) or 'nothing: it was clean'}"
    )


@cli.command()
@as_json
def status(json_: bool) -> None:
    """Show every process; exit 1 when one does not run, 2 when the stack is down."""
    layout = StackLayout.main()
    found = modes.current(layout).processes(layout)
    if not found:
        fail("the stack does not run; start it with: make up", UNKNOWN)
    fine = {p["name"]: p["statename"] in (compose.RUNNING, compose.DONE) for p in found}
    if json_:
        out.print_json(data=[{key: p[key] for key in ("name", "statename", "pid")} for p in found])
    else:
        for process in found:
            colour = "green" if fine[process["name"]] else "red"
            out.print(
                f"  {process['name']:<18}[{colour}]{process['statename']:<10}[/{colour}] {process['description']}"
            )
    sys.exit(FINE if all(fine.values()) else WRONG)


@cli.command()
@click.argument("program", required=False)
@click.option("--lines", default=40, show_default=True)
def logs(program: str | None, lines: int) -> None:
    """Show the last log lines of one process, or of all."""
    try:
        layout = StackLayout.main()
        for line in modes.current(layout).tail(layout, program, lines):
            out.print(escape(line))
    except readiness.Refused as error:
        fail(str(error), WRONG)


@cli.command()
def doctor() -> None:
    """Check everything that `up` depends on."""
    layout = StackLayout.main()
    mode, why = modes.choose(modes.AUTO, layout)
    rows = [("mode", True, f"{mode}: {why}"), *modes.of(mode).doctor(layout)]
    for what, fine, how in rows:
        out.print(f"  {'[green]✓[/green]' if fine else '[red]✗[/red]'} {what:<24}{escape(how)}")
    sys.exit(FINE if all(fine for _, fine, _ in rows) else WRONG)


if __name__ == "__main__":
    cli()
