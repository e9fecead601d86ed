"""Fixtures of the compiler's tests: a fixed service, edited files, and the servers' tools."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from observability.generate import prometheus, promtool_tests, registry
from observability.spec.drill_clock import accelerate
from observability.spec.loading import POLICY, load_plan
from observability.spec.plan import Plan
from observability.spec.problems import Invalid, Problem
from tests.observability.compiler_support import CONTRACT, SERVICE, changed, exposed_case, program


@pytest.fixture(scope="session")
def plan() -> Plan:
    """Return the Plan of the fixed service."""
    return load_plan(SERVICE)


@pytest.fixture(scope="session")
def fast(plan: Plan) -> Plan:
    """Return the same Plan on the drill's clock."""
    return accelerate(plan)


@pytest.fixture(scope="session")
def openapi() -> dict[str, Any]:
    """Return the contract of the fixed service, as the generators read it."""
    return registry.read_contract(CONTRACT)


Edit = tuple[str, str]
PlanOf = Callable[..., Plan]


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Return a function that writes edited copies of both files.

    A text instead of edits replaces a file whole.
    """

    def write(
        catalogue: str | tuple[Edit, ...] = (), policy: str | tuple[Edit, ...] = ()
    ) -> tuple[Path, Path]:
        paths = []
        for source, edits in ((SERVICE, catalogue), (POLICY, policy)):
            text = edits
            if not isinstance(edits, str):
                text = changed(source.read_text(encoding="utf-8"), *edits)
            target = tmp_path / source.name
            target.write_text(text, encoding="utf-8")
            paths.append(target)
        return paths[0], paths[1]

    return write


@pytest.fixture
def plan_of(files: Callable[..., tuple[Path, Path]]) -> PlanOf:
    """Return a function that returns the Plan of edited files."""
    return lambda catalogue=(), policy=(): load_plan(*files(catalogue, policy))


@pytest.fixture
def problems_of(files: Callable[..., tuple[Path, Path]]) -> Callable[..., list[Problem]]:
    """Return a function that returns the problems of edited files; it fails without any."""

    def find(
        catalogue: str | tuple[Edit, ...] = (), policy: str | tuple[Edit, ...] = ()
    ) -> list[Problem]:
        with pytest.raises(Invalid) as error:
            load_plan(*files(catalogue, policy))
        return error.value.problems

    return find


@pytest.fixture(scope="session")
def promtool() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Return a function that runs promtool with the given words."""
    path = program("promtool")
    return lambda *words: subprocess.run(
        [path, *map(str, words)], capture_output=True, text=True, check=False
    )


@pytest.fixture
def check_rules(
    promtool: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> Callable[..., None]:
    """Return a function that asks a Plan's rules, as `compiler_support.exposed_case` says."""

    def check(plan: Plan, inputs: dict[str, str], *questions: tuple[str, list[str]]) -> None:
        rules = prometheus.render(plan)[prometheus.RULES]
        (tmp_path / "rules.yaml").write_text(rules, encoding="utf-8")
        case = tmp_path / "case.yaml"
        case.write_text(exposed_case(plan, inputs, *questions), encoding="utf-8")
        result = promtool("test", "rules", case)
        assert result.returncode == 0, result.stdout + result.stderr

    return check


@pytest.fixture
def check_generated_cases(
    promtool: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> Callable[[Plan], dict[str, str]]:
    """Return a function that runs a Plan's generated promtool cases, and returns their files."""

    def check(plan: Plan) -> dict[str, str]:
        cases = promtool_tests.render(plan)
        for name, text in (prometheus.render(plan) | cases).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        result = promtool("test", "rules", *(tmp_path / name for name in cases))
        assert result.returncode == 0, result.stdout + result.stderr
        return cases

    return check


@pytest.fixture(scope="session")
def amtool() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Return a function that runs amtool with the given words."""
    path = program("amtool")
    return lambda *words: subprocess.run(
        [path, *map(str, words)], capture_output=True, text=True, check=False
    )
