"""Commands that compile the catalogue: `generate` writes its files, `check` compares them."""

import sys
from dataclasses import dataclass
from pathlib import Path

import click
from rich.markup import escape

from observability.checks import (
    annotations,
    boards,
    contract,
    drift,
    lint,
    metrics_page,
    proofs,
    server_tools,
)
from observability.commands import options, servers
from observability.devstack import binaries, packages
from observability.devstack.layout import StackLayout
from observability.drill.registry import drills
from observability.generate import registry
from observability.lib.http import Unreachable
from observability.lib.json_object import Json
from observability.lib.metrics_page import fetch_page, read_stored
from observability.lib.prometheus import ServicePrometheus
from observability.spec import loading
from observability.spec.plan import Plan
from observability.spec.problems import Problem
from observability.terminal import FINE, NOT_FINE, UNKNOWN, fail, out, print_problems


@dataclass(frozen=True)
class Compilation:
    """A catalogue's plan, the contract of its service, and the text of each generated file."""

    plan: Plan
    contract: Json | None  # None where another service has given none
    files: dict[Path, str]

    def check_contract(self) -> list[Problem]:
        """Return the differences between catalogue and contract."""
        return contract.check(self.plan, self.contract) if self.contract else []


def compile_catalogue(catalogue: Path, policy: Path, openapi: Path | None) -> Compilation:
    """Compile the catalogue; raise Invalid with every problem of the catalogue and the policy."""
    if openapi is None and catalogue.resolve() == loading.CATALOGUE:
        openapi = registry.OPENAPI
    document = registry.read_contract(openapi) if openapi else None
    plan = loading.load_plan(catalogue, policy, contract=document)
    return Compilation(plan, document, registry.render(plan, document or {}))


@click.command()
@options.catalogue_file
@options.policy_file
@options.openapi_file
@options.output_folder
def generate(catalogue: Path, policy: Path, openapi: Path | None, folder: Path) -> None:
    """Write everything that follows from the catalogue."""
    compilation = compile_catalogue(catalogue, policy, openapi)
    problems = compilation.check_contract()
    if problems:
        print_problems(problems)
        fail("nothing was written", NOT_FINE)
    changed = registry.write(compilation.files, folder)
    for path in changed:
        out.print(f"  {path}")
    slos = len(compilation.plan.slos)
    files = len(compilation.files)
    out.print(f"[green]✓[/green] {slos} SLOs, {files} files, {len(changed)} changed")
    print_skipped(compilation)


@click.command()
@options.catalogue_file
@options.policy_file
@options.openapi_file
@options.output_folder
@click.option("--metrics", metavar="URL", help="The service's metrics page, to be compared, too.")
@click.option("--prometheus", metavar="URL", help="A Prometheus whose series are compared, too.")
@servers.header_lines
@options.as_json
def check(
    catalogue: Path,
    policy: Path,
    openapi: Path | None,
    folder: Path,
    metrics: str | None,
    prometheus: str | None,
    headers: tuple[str, ...],
    json_: bool,
) -> None:
    """Compare generated files, rules, contract and metrics page with the catalogue."""
    compilation = compile_catalogue(catalogue, policy, openapi)
    mismatches, notes = compare_metrics(compilation.plan, metrics, prometheus, headers)
    problems = find_problems(compilation, folder) + mismatches
    missing_tools: list[str] = []
    if not problems:
        problems, missing_tools = run_tools(compilation.plan, folder)
    if json_:
        listed = {"problems": list(map(vars, problems)), "notes": list(map(vars, notes))}
        skipped = ["contract"] if compilation.contract is None else []
        out.print_json(data=listed | {"missing_tools": missing_tools, "skipped": skipped})
    else:
        print_notes(notes)
    if problems and not json_:
        print_problems(problems)
    elif not json_:
        print_success(compilation, missing_tools)
    if problems:
        sys.exit(NOT_FINE)
    if missing_tools:
        missing = ", ".join(missing_tools)
        consequence = "could not tell whether the servers accept them"
        fail(f"{consequence}: {missing} missing; make up unpacks them", UNKNOWN)
    sys.exit(FINE)


def compare_metrics(
    plan: Plan, metrics: str | None, prometheus: str | None, headers: tuple[str, ...]
) -> tuple[list[Problem], list[Problem]]:
    """Return problems and notes of a metrics page and a Prometheus; without URLs there are none.

    The headers are for each of the two.
    """
    pages = []
    try:
        if metrics or not prometheus:
            address = servers.address("--metrics", metrics, headers)
            pages += [fetch_page(address)] if address else []
        if server := prometheus and servers.address("--prometheus", prometheus, headers):
            client = ServicePrometheus(server.url, plan, headers=server.headers)
            pages.append(read_stored(client, metrics_page.series_of(plan)))
    except Unreachable as error:
        fail(str(error), UNKNOWN)
    found = [metrics_page.check(plan, page) for page in pages]
    problems, notes = ([one for page in found for one in page[part]] for part in (0, 1))
    return problems, notes


def find_problems(compilation: Compilation, folder: Path) -> list[Problem]:
    """Return the problems that can be found without the servers' own tools."""
    drills_with_alerts = {
        name: bool(drill.required) for name, drill in drills(compilation.plan).items()
    }
    return [
        *compilation.check_contract(),
        *drift.check(compilation.files, folder),
        *lint.check(compilation.plan, folder),
        *boards.check(compilation.plan),
        *proofs.check(compilation.plan, drills_with_alerts, folder),
    ]


def run_tools(plan: Plan, folder: Path) -> tuple[list[Problem], list[str]]:
    """Return the problems that the servers' tools find, and the names of missing tools."""
    servers = StackLayout.main().servers
    loki = binaries.find_log_server("loki")
    problems, missing = server_tools.run_tools(folder, packages.search_path(servers), loki)
    promtool = binaries.find_server("promtool", servers)
    if promtool and not problems:
        problems = annotations.check(plan, str(promtool))
    return problems, missing


def print_notes(notes: list[Problem]) -> None:
    """Print what may be as it should."""
    for note in notes:
        out.print(f"[yellow]?[/yellow] {escape(f'{note.where}: {note.message}; {note.fix}')}")


def print_success(compilation: Compilation, missing_tools: list[str]) -> None:
    """Print that no check found a problem."""
    mark = "[green]✓[/green]"
    if missing_tools:
        mark = "[yellow]?[/yellow]"
    counts = f"{len(compilation.plan.slos)} SLOs, {len(compilation.files)} generated files"
    compared = "" if compilation.contract is None else "contract, "
    out.print(f"{mark} {counts}: drift, {compared}lint, boards and proofs are fine")
    print_skipped(compilation)


def print_skipped(compilation: Compilation) -> None:
    """Print that another service has no contract to compare with, if so."""
    if compilation.contract is None:
        out.print("  the contract is not compared: no --openapi")
