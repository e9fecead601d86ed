"""Names are literals only in names.py, and generators are pure: checked in syntax trees."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from observability.generate.registry import ROOT
from observability.spec import names

MODULES = sorted(
    path
    for folder in ("api", "observability", "loadtests")
    for path in (ROOT / folder).rglob("*.py")
    if path.name != "names.py"
)
REGISTRY = ROOT / "observability" / "generate" / "registry.py"  # it reads the contract, and writes
GENERATORS = sorted(set(REGISTRY.parent.rglob("*.py")) - {REGISTRY})
TOO_COMMON = {names.UP}  # a word of every day
NAMES = sorted(
    {
        *names.EMITTED,
        *(names.FOREIGN - TOO_COMMON),
        *names.GUARDS,
        *names.GROUPS[:-1],
        names.BURN_ALERT,
        names.TEST_ALERT,
    }
)
PREFIXES = (names.RECORDED,)  # of every recorded series
IMPURE_CALLS = {
    "open",
    "write_text",
    "write_bytes",
    "read_text",
    "read_bytes",
    "mkdir",
    "unlink",
    "now",
    "utcnow",
    "today",
    "print",
    "input",
}
IMPURE_MODULES = {
    "datetime",
    "time",
    "random",
    "os",
    "pathlib",
    "secrets",
    "uuid",
    "subprocess",
    "shutil",
    "sys",
    "socket",
    "tempfile",
}


def literals(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Return line and text of every string but docstrings."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings
        ):
            yield node.lineno, node.value


def offences(source: str) -> list[tuple[int, str]]:
    return [
        (line, text)
        for line, text in literals(ast.parse(source))
        if any(name in text for name in (*NAMES, *PREFIXES))
    ]


def impurities(source: str) -> list[str]:
    """Return calls and imports with which a module could do more than compute."""
    impure = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = (
                node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            )
            impure += [name] if name in IMPURE_CALLS else []
        elif isinstance(node, ast.Import):
            impure += [
                alias.name for alias in node.names if alias.name.split(".")[0] in IMPURE_MODULES
            ]
        elif (
            isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in IMPURE_MODULES
        ):
            impure.append(node.module or "")
    return impure


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_name_is_written_outside_names(path: Path) -> None:
    """A metric, recorded series or alert that is renamed in one place is renamed everywhere."""
    assert offences(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        'x = "evara_http_requests"',
        'x = f"rate({y}) / service_slo:total:count"',
        'f("ErrorBudgetBurn")',
        'x = {"a": ["sum(evara_probes_total)"]}',
    ],
)
def test_names_are_detected_in_every_literal(source: str) -> None:
    """Alone, inside an f-string, as an argument or deep in a literal."""
    assert len(offences(source)) == 1


def test_docstrings_may_name_things() -> None:
    """Prose is no literal; a second string in the same function is."""
    assert offences('def f():\n    """About service_slo:total:count."""\n    return "fine"') == []
    assert offences('def f():\n    """Fine."""\n    return "service_slo:total:count"') == [
        (3, "service_slo:total:count")
    ]


@pytest.mark.parametrize("path", GENERATORS, ids=lambda path: str(path.relative_to(ROOT)))
def test_generators_are_pure(path: Path) -> None:
    """No file, clock, chance or environment: the same Plan gives the same text."""
    assert impurities(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    ["open('x')", "p.write_text('x')", "datetime.now()", "import random", "from os import environ"],
)
def test_impure_generator_is_detected(source: str) -> None:
    """A generator that reads a file fails the test above."""
    assert impurities(source)


def test_exposed_names_have_a_known_kind() -> None:
    """Each metric's suffixes follow from its kind."""
    assert set(names.EMITTED.values()) <= set(names.SUFFIXES)
