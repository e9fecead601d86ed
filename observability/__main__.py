"""The command line: `python -m observability COMMAND`.

Exit codes: 0 fine, 1 not fine, 2 could not tell.
"""

import sys
from typing import Any

import click

from observability.commands import (
    audit,
    backups,
    catalogue,
    console,
    deploy,
    drill,
    load,
    slo,
    stack,
)
from observability.devstack.steps import StackError
from observability.spec.problems import Invalid
from observability.terminal import NOT_FINE, fail, out, print_problems

COMMANDS = (
    catalogue.generate,
    catalogue.check,
    slo.slo,
    console.console,
    load.load,
    drill.drill,
    stack.up,
    stack.fetch,
    stack.down,
    stack.clean,
    stack.status,
    stack.logs,
    stack.doctor,
    backups.backup,
    backups.restore,
    deploy.deploy,
    deploy.rollback,
    audit.audit,
)


class CommandGroup(click.Group):
    """A group whose commands all report an invalid catalogue, or a failed step, in the same way."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Invalid as error:
            if "--json" in sys.argv:
                out.print_json(data={"problems": list(map(vars, error.problems))})
            else:
                print_problems(error.problems)
            sys.exit(NOT_FINE)
        except StackError as error:
            fail(str(error), NOT_FINE)


@click.group(cls=CommandGroup)
def cli() -> None:
    """Everything that watches the API, generated from one catalogue."""


for command in COMMANDS:
    cli.add_command(command)

if __name__ == "__main__":
    cli()
