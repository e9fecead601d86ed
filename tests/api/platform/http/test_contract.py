"""The commands that write and check the committed contract."""

import json
from pathlib import Path

import pytest
from flask import Flask

from api.platform.state import app_state


@pytest.fixture
def committed(app: Flask, tmp_path: Path) -> Path:
    """Return the path of a committed contract that is what the app serves."""
    path = tmp_path / "openapi.json"
    app_state(app).contract = path
    assert app.test_cli_runner().invoke(args=["contract", "write"]).exit_code == 0
    return path


def test_write_refuses_breaking_changes_without_breaking(app: Flask, committed: Path) -> None:
    """The file is unchanged and the reason is printed; --breaking writes it."""
    served = committed.read_text(encoding="utf-8")
    before = json.loads(served)
    before["paths"]["/api/v1/keys"]["get"]["parameters"].append(
        {"in": "query", "name": "owner", "schema": {}}
    )
    committed.write_text(json.dumps(before), encoding="utf-8")
    runner = app.test_cli_runner()
    refused = runner.invoke(args=["contract", "write"])
    assert refused.exit_code == 1
    assert "openapi.json: GET /api/v1/keys: query parameter owner is gone" in refused.stderr
    assert json.loads(committed.read_text(encoding="utf-8")) == before
    assert runner.invoke(args=["contract", "write", "--breaking"]).exit_code == 0
    assert committed.read_text(encoding="utf-8") == served


def test_write_accepts_an_addition(app: Flask, committed: Path) -> None:
    """The file contains it afterwards."""
    served = committed.read_text(encoding="utf-8")
    before = json.loads(served)
    del before["paths"]["/api/v1/keys/{key_id}"]["delete"]
    committed.write_text(json.dumps(before), encoding="utf-8")
    assert app.test_cli_runner().invoke(args=["contract", "write"]).exit_code == 0
    assert committed.read_text(encoding="utf-8") == served


def test_check_reports_drift_and_breaking_changes(
    app: Flask, committed: Path, tmp_path: Path
) -> None:
    """An outdated file needs make generate; with --base a removed operation is a break."""
    runner = app.test_cli_runner()
    assert runner.invoke(args=["contract", "check"]).exit_code == 0
    document = json.loads(committed.read_text(encoding="utf-8"))
    document["info"]["title"] = "Old"
    committed.write_text(json.dumps(document), encoding="utf-8")
    drifted = runner.invoke(args=["contract", "check"])
    assert drifted.exit_code == 1
    assert "touch api/app.py && make generate" in drifted.stderr
    other = tmp_path / "base.json"
    other.write_text(json.dumps(document), encoding="utf-8")
    assert runner.invoke(args=["contract", "check", "--base", str(other)]).exit_code == 0
    document["paths"]["/api/v1/gone"] = {"get": {"responses": {}}}
    other.write_text(json.dumps(document), encoding="utf-8")
    broken = runner.invoke(args=["contract", "check", "--base", str(other)])
    assert broken.exit_code == 1
    assert broken.stderr.startswith("openapi.json: GET /api/v1/gone: is gone")
