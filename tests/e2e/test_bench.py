"""The request benchmark: its verdicts on the app, on a slower one and on one that refuses."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from flask import Flask

from loadtests.bench import apps, measure

ROOT = Path(__file__).resolve().parents[2]
BASELINE = ROOT / "loadtests" / "bench" / "baseline.json"
ANSWERS_OF_VARIANTS = """
import json, sys
from pathlib import Path
from loadtests.bench import apps, request

def answers(variant):
    environs = [kind.environ(headers) for kind in request.KINDS.values()]
    sent = [request.send(variant.app, environ) for environ in environs]
    return repr([(status, json.loads(body)) for status, body in sent])

def settings(variant):
    connection = variant.app.extensions["evara"].database.engine.connect()
    return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in apps.PRAGMAS]

apps.set_environment(Path(sys.argv[1]))
variants = apps.build_variants("api.app:create_app")
headers = apps.prepare(variants["all"].app)
by_name = {name: answers(variant) for name, variant in variants.items()}
print(json.dumps([by_name, settings(variants["all"]), settings(variants["bare"])]))
"""


def run_benchmark(*arguments: str) -> tuple[int, dict[str, Any], str]:
    """Return exit code, report and standard error of a quick run."""
    command = [sys.executable, "-m", "loadtests.bench", "request", "--quick", "--json", *arguments]
    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    return run.returncode, json.loads(run.stdout or "{}"), run.stderr


def create_slow_app() -> Flask:
    """Return an app that adds a hundred thousand numbers in each request."""
    from api.app import create_app

    app = create_app()

    @app.before_request
    def burn_cpu() -> None:
        sum(range(100_000))

    return app


def create_refusing_app() -> Flask:
    """Return an app that refuses every request."""
    from api.app import create_app

    app = create_app()
    app.before_request(lambda: ("no", 403))
    return app


def test_cost_is_near_the_baseline() -> None:
    """In process, every measured request is within 20 % of its committed ratio."""
    for _ in range(3):  # a busy machine may give no verdict
        code, report, stderr = run_benchmark()
        if report.get("verdict") != measure.UNKNOWN:
            break
    assert code == 0, stderr + json.dumps(report, indent=2)
    assert {row["request"] for row in report["requests"]} == json.loads(
        BASELINE.read_text(encoding="utf-8")
    ).keys()
    assert all(row["ratios"]["in process"]["ratio"] > 1 for row in report["requests"])


def test_slower_app_exits_1() -> None:
    """An app with a hook that burns CPU exits 1 with a ratio above the limit."""
    code, report, stderr = run_benchmark("--app", "tests.e2e.test_bench:create_slow_app")
    assert (code, report["verdict"]) == (1, measure.WORSE), stderr
    [get, *_] = report["requests"]
    assert (
        get["ratios"]["in process"]["ratio"]
        > get["ratios"]["in process"]["committed"] * measure.SLACK
    )


def test_refusing_app_exits_2() -> None:
    """An app that refuses requests exits 2 with the status, without a verdict."""
    code, report, stderr = run_benchmark("--app", "tests.e2e.test_bench:create_refusing_app")
    assert (code, report) == (2, {})
    assert "403" in stderr


def test_every_piece_is_described_and_removable(tmp_path: Path) -> None:
    """pieces.yaml names every piece; all variants respond alike, with equal database settings."""
    run = subprocess.run(
        [sys.executable, "-c", ANSWERS_OF_VARIANTS, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    responses, full, bare = json.loads(run.stdout)
    assert set(responses.values()) == {responses["all"]}
    assert full == bare
    descriptions = yaml.safe_load(
        (ROOT / "loadtests" / "bench" / "pieces.yaml").read_text(encoding="utf-8")
    )
    assert responses.keys() - {apps.ALL, apps.BARE} == descriptions.keys() - {"rest"}
