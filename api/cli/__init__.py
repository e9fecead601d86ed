"""Commands of `flask --app api.app`: the platform's, and those of the nouns."""

from flask import Flask

from api.cli.seed import create_nodes
from api.cli.sync import sync
from api.platform import cli


def init_app(app: Flask) -> None:
    """Add the commands to the app's command line."""
    cli.init_app(app, create_nodes)
    app.cli.add_command(sync)
