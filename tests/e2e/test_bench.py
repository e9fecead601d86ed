"""The cost of being observed stays near the committed one, and a dearer app is noticed."""

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


def bench(*words: str) -> tuple[int, dict[str, Any], str]:
    """Return exit code, report and standard error of a quick run."""
    command = [sys.executable, "-m", "loadtests.bench", "request", "--quick", "--json", *words]
    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    return run.returncode, json.loads(run.stdout or "{}"), run.stderr


def dear() -> Flask:
    """Return an app that adds a hundred thousand numbers in each request."""
    from api.app import create_app

    app = create_app()

    @app.before_request
    def burn() -> None:
        sum(range(100_000))

    return app


def forbidding() -> Flask:
    """Return an app that refuses every request."""
    from api.app import create_app

    app = create_app()
    app.before_request(lambda: ("no", 403))
    return app


def test_requests_cost_what_was_committed() -> None:
    """In process, every measured request is within 20 % of its committed ratio."""
    for _ in range(3):  # a busy machine may leave it open
        code, report, said = bench()
        if report.get("verdict") != measure.UNKNOWN:
            break
    assert code == 0, said + json.dumps(report, indent=2)
    assert {row["request"] for row in report["requests"]} == json.loads(
        BASELINE.read_text(encoding="utf-8")
    ).keys()
    assert all(row["ratios"]["in process"]["ratio"] > 1 for row in report["requests"])


def test_a_dearer_app_is_seen() -> None:
    """A hook that burns CPU ends in exit 1, and the ratio says so."""
    code, report, said = bench("--app", "tests.e2e.test_bench:dear")
    assert (code, report["verdict"]) == (1, measure.WORSE), said
    [get, *_] = report["requests"]
    assert (
        get["ratios"]["in process"]["ratio"]
        > get["ratios"]["in process"]["committed"] * measure.SLACK
    )


def test_an_app_that_does_not_answer_is_no_measurement() -> None:
    """Refused requests are cheap: they end in exit 2 with the status, not in a verdict."""
    code, report, said = bench("--app", "tests.e2e.test_bench:forbidding")
    assert (code, report) == (2, {})
    assert "403" in said


def test_pieces_have_words_and_can_be_left_out(tmp_path: Path) -> None:
    """pieces.yaml names every piece; all variants answer alike, over the same database settings."""
    run = subprocess.run(
        [sys.executable, "-c", ANSWERS_OF_VARIANTS, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    answers, whole, bare = json.loads(run.stdout)
    assert set(answers.values()) == {answers["all"]}
    assert whole == bare
    words = yaml.safe_load(
        (ROOT / "loadtests" / "bench" / "pieces.yaml").read_text(encoding="utf-8")
    )
    assert answers.keys() - {apps.ALL, apps.BARE} == words.keys() - {"rest"}
