"""Every generated file with its text: the one list that `generate` writes and `check` compares."""

import json
from pathlib import Path
from typing import Any

from observability.generate import alertmanager, fluentbit, locust, loki, prometheus, promtool_tests
from observability.generate.dashboards.grafana import files as dashboards
from observability.generate.runbook import pages
from observability.spec.plan import Plan
from observability.spec.problems import Invalid, Problem

ROOT = Path(__file__).resolve().parents[2]
OPENAPI = ROOT / "api" / "openapi.json"
GENERATED = Path("observability/generated")
SCENARIOS = Path("loadtests")


def contract(path: Path = OPENAPI) -> dict[str, Any]:
    """The API's committed OpenAPI document; Invalid when it cannot be read."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise Invalid(
            [Problem(str(path), f"cannot be read: {error}", "flask --app api.app contract write")]
        ) from error


def render(plan: Plan, openapi: dict[str, Any]) -> dict[Path, str]:
    """Path relative to the output folder → text."""
    emitters = (prometheus, alertmanager, promtool_tests, dashboards, pages, loki, fluentbit)
    ours = {name: text for emitter in emitters for name, text in emitter.render(plan).items()}
    files = {GENERATED / name: text for name, text in ours.items()}
    return files | {SCENARIOS / name: text for name, text in locust.render(plan, openapi).items()}


def stale(wanted: dict[Path, str], out: Path) -> list[Path]:
    """Files in the folder of generated files that nothing generates any more."""
    present = (path.relative_to(out) for path in (out / GENERATED).rglob("*") if path.is_file())
    return sorted(path for path in present if path not in wanted)


def write(wanted: dict[Path, str], out: Path) -> list[Path]:
    """Writes what differs, removes what is stale, and returns the paths that changed."""
    changed = stale(wanted, out)
    for path in changed:
        (out / path).unlink()
    for path, text in sorted(wanted.items()):
        target = out / path
        if not target.exists() or target.read_bytes() != text.encode():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed
