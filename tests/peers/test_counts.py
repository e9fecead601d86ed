"""What the SLOs of the examples count: the recorded share of errors, over series of each kind."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from observability.generate import prometheus
from observability.spec import names
from observability.spec.loading import load_plan
from tests.observability.compiler_support import exposed_case, program

FOLDER = Path(__file__).parent
COUNTED: dict[str, dict[str, Any]] = yaml.safe_load((FOLDER / "counted.yaml").read_bytes())
VALUES = {"counters": "0+{}x240", "gauges": "{}x240"}  # samples of 20 minutes


@pytest.mark.parametrize("name", sorted(COUNTED))
def test_slos_count_what_the_example_counts(name: str, tmp_path: Path) -> None:
    """Refused requests, other jobs, handlers and buckets are counted, or are not, as there."""
    plan = load_plan(FOLDER / f"{name}.yaml")
    assert {slo.name for slo in plan.slos} == set(COUNTED[name])
    rules = prometheus.render(plan)[prometheus.RULES]
    (tmp_path / "rules.yaml").write_text(rules, encoding="utf-8")
    cases = []
    for slo, counted in COUNTED[name].items():
        series = {
            one: samples.format(value)
            for kind, samples in VALUES.items()
            for one, value in counted.get(kind, {}).items()
        }
        recorded = f'{names.error_ratio("5m")}{{slo="{slo}"}}'
        question = f"round(sum by (slo) ({recorded}), 0.001)"
        case = tmp_path / f"{slo}.yaml"
        text = exposed_case(plan, series, (question, [f"{slo}={counted['error']}"]))
        case.write_text(text, encoding="utf-8")
        cases.append(str(case))
    command = [program("promtool"), "test", "rules", *cases]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_catalogue_is_counted() -> None:
    """None is forgotten."""
    files = FOLDER.glob("*/*.yaml")
    assert sorted(f"{file.parent.name}/{file.stem}" for file in files) == sorted(COUNTED)
