"""Options that several commands have."""

from pathlib import Path

import click

from observability.generate import registry
from observability.spec.loading import CATALOGUE, POLICY

PATH = click.Path(path_type=Path)

as_json = click.option("--json", "json_", is_flag=True, help="Print JSON for scripts.")
catalogue_file = click.option(
    "--catalogue", type=PATH, default=CATALOGUE, help="Another service's catalogue."
)
policy_file = click.option("--policy", type=PATH, default=POLICY, help="Another policy.")
openapi_file = click.option(
    "--openapi", type=PATH, help="The service's contract; ours for our own catalogue."
)
output_folder = click.option(
    "--out", "folder", type=PATH, default=registry.ROOT, help="Where generated files go."
)
