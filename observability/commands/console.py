"""The command that serves the console for a service and its Prometheus."""

from pathlib import Path

import click

from observability.commands import options, servers
from observability.devstack.layout import StackLayout
from observability.lib.http import Unreachable
from observability.terminal import UNKNOWN, fail


@click.command()
@click.option("--bind", default="127.0.0.1:8080", help="Address and port of the console.")
@options.catalogue_file
@options.policy_file
@servers.prometheus_url
@servers.header_lines
def console(
    bind: str, catalogue: Path, policy: Path, prometheus: str | None, headers: tuple[str, ...]
) -> None:
    """Serve the console until SIGTERM; `make up` starts that of the stack."""
    from observability.console.app import create_app  # other commands start faster without it
    from observability.console.server import Server

    layout = StackLayout.main()
    try:
        server = servers.address("--prometheus", prometheus, headers)
    except Unreachable as error:
        fail(str(error), UNKNOWN)
    plan = servers.load_service(layout, catalogue, policy, server)
    Server(create_app(layout, plan, server), bind).run()
