"""Commands that back up and restore the data of the stack."""

from pathlib import Path

import click
from rich.markup import escape

from observability.devstack import compose_backups
from observability.devstack.layout import COMPOSE, StackLayout
from observability.devstack.steps import Steps
from observability.terminal import UNKNOWN, fail, out, show_running


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
def backup(file: Path | None) -> None:
    """Make a verified backup of the data, and copy it to FILE."""
    layout = compose_layout("backup")
    path = compose_backups.backup(layout, file, Steps(out.print, show_running))
    shown = escape(str(path))
    out.print(f"[green]✓[/green] {shown}; back with it: make restore FILE={shown}")


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
def restore(file: Path | None) -> None:
    """Replace the data of the stack by that of the backup in FILE."""
    layout = compose_layout("restore")
    if file is None:
        fail("no backup is named; fix: make restore FILE=PATH", UNKNOWN)
    compose_backups.restore(layout, file, Steps(out.print, show_running))
    out.print(f"[green]✓[/green] the stack has the data of {escape(str(file))}")


def compose_layout(command: str) -> StackLayout:
    """Return the layout of the stack; exit 2 when it is native."""
    layout = StackLayout.main()
    if layout.mode != COMPOSE:
        fail(
            f"make {command} works for the compose stack, and this one is native; nothing was"
            " changed; fix: make up MODE=compose, or make down and copy .stack/*.db",
            UNKNOWN,
        )
    return layout
