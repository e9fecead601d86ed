"""The command that judges the SLOs of the running stack."""

import sys

import click

from observability.commands import options
from observability.commands.slo_table import print_slos
from observability.devstack.layout import StackLayout
from observability.lib.http import Unreachable
from observability.lib.prometheus import ServicePrometheus
from observability.slo import verdicts
from observability.terminal import UNKNOWN, fail, out


@click.command()
@click.option("--window", help="Look back so far, as in 1h; the catalogue's period by default.")
@click.option("--strict", is_flag=True, help="Fail when an SLO is idle, too.")
@options.as_json
def slo(window: str | None, strict: bool, json_: bool) -> None:
    """Judge every SLO: met, missed, too few events, idle, unmeasured or broken."""
    layout = StackLayout.main()
    plan = layout.plan()
    try:
        span = verdicts.parse_window(plan, window)
        rows = verdicts.measure(plan, ServicePrometheus(layout.url("prometheus"), plan), span)
    except (Unreachable, ValueError) as error:
        fail(str(error), UNKNOWN)
    if json_:
        out.print_json(data=verdicts.as_json(rows, span))
    else:
        print_slos(rows, span.name)
    sys.exit(verdicts.exit_code(rows, strict=strict))
