"""Commands that release on another machine."""

from collections.abc import Callable
from pathlib import Path

import click
from rich.markup import escape

from observability.deploy import client
from observability.terminal import UNKNOWN, fail, finish, out

machine = click.option("--to", default="", help="The machine, as ssh takes it: user@machine.")
ssh_config = click.option(
    "--ssh-config", type=click.Path(path_type=Path), help="Instead of ~/.ssh/config."
)


@click.command()
@machine
@click.option("--ref", default="", help="The tag or commit to release.")
@ssh_config
def deploy(to: str, ref: str, ssh_config: Path | None) -> None:
    """Release a tag on another machine."""
    host = open_host(to, ssh_config)
    if not ref:
        fail("no tag is named; fix: add REF=tag", UNKNOWN)
    run(lambda: client.release(host, ref))


@click.command()
@machine
@ssh_config
def rollback(to: str, ssh_config: Path | None) -> None:
    """Go back to the release before on another machine."""
    host = open_host(to, ssh_config)
    run(lambda: client.roll_back(host))


def open_host(to: str, config: Path | None) -> client.Host:
    """Return the named machine, whose output is printed; exit 2 without a name."""
    if not to:
        fail("no machine is named; fix: add TO=user@machine", UNKNOWN)
    return client.Host(to, config, lambda line: out.print(escape(line)))


def run(action: Callable[[], bool]) -> None:
    """Exit with what became of the action, or with 2 when the connection was lost."""
    try:
        is_fine = action()
    except client.ConnectionLost as error:
        fail(str(error), UNKNOWN)
    finish(is_fine=is_fine)
