"""The architecture: imports, lengths and budgets are as documented."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
VIEW_LINES = 8
FUNCTION_LINES = 40
FILE_LINES = 300
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BUDGETS = {  # AST nodes
    "api": 47_200,
    "observability": 127_000,
    "loadtests": 15_000,
}


def test_import_contracts_hold() -> None:
    """import-linter's contracts in pyproject.toml hold."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert "0 broken" in result.stdout


@pytest.mark.parametrize(
    "path", sorted((ROOT / "api" / "v1").glob("*.py")), ids=lambda path: path.stem
)
def test_views_are_thin(path: Path) -> None:
    """A view is its decorators and at most eight lines."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.decorator_list:
            assert (node.end_lineno or 0) - node.lineno <= VIEW_LINES, node.name


@pytest.mark.parametrize("package", sorted(BUDGETS))
def test_functions_and_files_are_short(package: str) -> None:
    """A function has at most 40 lines, a file at most 300 unless it holds data alone."""
    for path in sorted((ROOT / package).rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, FUNCTIONS)]
        if functions:
            assert len(source.splitlines()) <= FILE_LINES, path
        for function in functions:
            length = (function.end_lineno or 0) - function.lineno + 1
            assert length <= FUNCTION_LINES, f"{path}:{function.lineno} {function.name}"


@pytest.mark.parametrize("package", sorted(BUDGETS))
def test_code_stays_within_its_budget(package: str) -> None:
    """More code than the budget needs an ADR that names what was removed first."""
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / package).rglob("*.py"))
    nodes = sum(1 for source in sources for _ in ast.walk(ast.parse(source)))
    assert nodes <= BUDGETS[package]
