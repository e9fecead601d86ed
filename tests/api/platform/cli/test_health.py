"""`flask health`: its exit code and output."""

import json

from flask import Flask

from tests.api.conftest import MakeApp, NewDatabase


def test_exit_code_tells_whether_checks_pass(
    make_app: MakeApp, app: Flask, new_database: NewDatabase
) -> None:
    """0 when every check passes, 1 when one fails; the results are printed as JSON."""
    result = app.test_cli_runner().invoke(args=["health"])
    assert (result.exit_code, json.loads(result.output)["status"]) == (0, "ok")
    without_tables = make_app(database_url=new_database("empty"))
    result = without_tables.test_cli_runner().invoke(args=["health"])
    assert (result.exit_code, json.loads(result.output)["status"]) == (1, "unavailable")
