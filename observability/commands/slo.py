"""The command that judges SLOs by what a running Prometheus recorded."""

import sys
from pathlib import Path

import click

from observability.commands import options, servers
from observability.commands.slo_table import print_slos
from observability.devstack.layout import StackLayout
from observability.lib.http import Unreachable
from observability.slo import verdicts
from observability.terminal import UNKNOWN, fail, out


@click.command()
@click.option("--window", help="Look back so far, as in 1h; the catalogue's period by default.")
@click.option("--strict", is_flag=True, help="Fail when an SLO is idle, too.")
@options.catalogue_file
@options.policy_file
@servers.prometheus_url
@servers.header_lines
@options.as_json
def slo(
    window: str | None,
    strict: bool,
    catalogue: Path,
    policy: Path,
    prometheus: str | None,
    headers: tuple[str, ...],
    json_: bool,
) -> None:
    """Judge every SLO: met, missed, too few events, idle, unmeasured or broken."""
    layout = StackLayout.main()
    try:
        server = servers.address("--prometheus", prometheus, headers)
        plan = servers.load_service(layout, catalogue, policy, server)
        span = verdicts.parse_window(plan, window)
        rows = verdicts.measure(plan, servers.open_prometheus(layout, plan, server), span)
    except (Unreachable, ValueError) as error:
        fail(str(error), UNKNOWN)
    if json_:
        out.print_json(data=verdicts.as_json(rows, span))
    else:
        print_slos(rows, span.name)
    sys.exit(verdicts.exit_code(rows, strict=strict))
