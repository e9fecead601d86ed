"""The commands that write and check the committed OpenAPI document, the contract with callers."""

import json
from datetime import date
from pathlib import Path

import click
from flask.cli import AppGroup

from api.platform.http.compatibility import breaking_changes
from api.platform.state import app_state
from api.platform.types import JsonObject
from observability.spec.problems import Problem

OUTDATED = Problem(
    "api/openapi.json",
    "differs from what the app serves",
    "touch api/app.py && make generate",
    "contract",
)
commands = AppGroup("contract", help="Write and check api/openapi.json.")


def text(document: JsonObject) -> str:
    """Return the document as the file holds it."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def compare(base: Path) -> list[Problem]:
    """Return how the app breaks the contract in `base`; [] if the file is missing."""
    if not base.exists():
        return []
    old = json.loads(base.read_text(encoding="utf-8"))
    return breaking_changes(old, app_state().document, date.today())


@commands.command("write")
@click.option("--breaking", "accepted", is_flag=True, help="Write it even if it breaks callers.")
def write(accepted: bool) -> None:
    """Write the contract; exit 1 and print all reasons if the change breaks callers."""
    if not accepted:
        exit_on(compare(app_state().contract))
    app_state().contract.write_text(text(app_state().document), encoding="utf-8")


@commands.command("check")
@click.option(
    "--base",
    type=click.Path(path_type=Path, exists=True),
    help="Compare with this document instead of the committed one.",
)
def check(base: Path | None) -> None:
    """Exit 1 if the app breaks callers of the contract, or if the committed one is outdated."""
    state = app_state()
    exit_on(compare(base or state.contract))
    if not base and state.contract.read_text(encoding="utf-8") != text(state.document):
        exit_on([OUTDATED])


def exit_on(problems: list[Problem]) -> None:
    """Print the problems and exit 1; return when there are none."""
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise click.exceptions.Exit(1)
