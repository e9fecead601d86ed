"""Every generated file with its text: the one list that `generate` writes and `check` compares."""

import json
from pathlib import Path

from observability.generate import (
    alertmanager,
    fluentbit,
    locust,
    loki,
    postgres,
    prometheus,
    promtool_tests,
    relabelling,
)
from observability.generate.dashboards.grafana import files as dashboards
from observability.generate.runbook import pages
from observability.lib.json_object import Json
from observability.spec.plan import Plan
from observability.spec.problems import Invalid, Problem

ROOT = Path(__file__).resolve().parents[2]
OPENAPI = ROOT / "api" / "openapi.json"
GENERATED = Path("observability/generated")
SCENARIOS = Path("loadtests")
GENERATORS = (
    prometheus,
    alertmanager,
    promtool_tests,
    relabelling,
    dashboards,
    pages,
    loki,
    fluentbit,
    postgres,
)
CONTRACT_FIX = "flask --app api.app contract write"
Files = dict[Path, str]  # path relative to the output folder → text


def read_contract(path: Path = OPENAPI) -> Json:
    """Return the API's committed OpenAPI document; raise Invalid when it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
        return dict(json.loads(text))
    except (OSError, ValueError, TypeError) as error:
        problem = Problem(str(path), f"cannot be read: {error}", CONTRACT_FIX)
        raise Invalid([problem]) from error


def render(plan: Plan, openapi: Json) -> Files:
    """Return every generated file.

    Only the load scenarios need the contract: they take their bodies from its examples.
    """
    files = {}
    for generator in GENERATORS:
        for name, text in generator.render(plan).items():
            files[GENERATED / name] = text
    for name, text in locust.render(plan, openapi).items():
        files[SCENARIOS / name] = text
    return files


def list_stale(files: Files, out: Path) -> list[Path]:
    """Return the files in the folder of generated files that nothing generates any more.

    `out` is the output folder, to which the paths are relative.
    """
    stale = []
    for path in (out / GENERATED).rglob("*"):
        relative = path.relative_to(out)
        if path.is_file() and relative not in files:
            stale.append(relative)
    return sorted(stale)


def write(files: Files, out: Path) -> list[Path]:
    """Write what differs, remove what is stale, and return the paths that changed."""
    changed = list_stale(files, out)
    for path in changed:
        (out / path).unlink()
    for path, text in sorted(files.items()):
        target = out / path
        if target.exists() and target.read_bytes() == text.encode():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        changed.append(path)
    return changed
