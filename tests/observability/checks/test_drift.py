"""The check `drift`: committed files are those that the catalogue generates."""

from pathlib import Path

import pytest

from observability.checks import drift
from observability.generate.registry import GENERATED

WANTED = {GENERATED / "a.yaml": "one\ntwo\n", Path("loadtests/s.json"): "{}\n"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for path, text in WANTED.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    return tmp_path


def test_equal_files_are_no_problem(tree: Path) -> None:
    """There is no problem."""
    assert drift.check(WANTED, tree) == []


@pytest.mark.parametrize(
    "content",
    [b"one\nzwei\n", b"one\ntwo", b"one\r\ntwo\r\n", b"", b"one\ntwo\nthree\n", b"\xff\n"],
)
def test_changed_file_is_a_problem(content: bytes, tree: Path) -> None:
    """Any difference counts, also the last newline and bytes that are no text."""
    (tree / GENERATED / "a.yaml").write_bytes(content)
    problems = drift.check(WANTED, tree)
    assert [(p.where, p.message, p.fix, p.check) for p in problems] == [
        (
            f"{GENERATED}/a.yaml",
            "is not what the catalogue generates",
            "make generate",
            "drift",
        )
    ]


def test_missing_file_is_drift(tree: Path) -> None:
    """Deleting a generated file is drift."""
    (tree / "loadtests" / "s.json").unlink()
    assert [(p.where, p.message, p.fix) for p in drift.check(WANTED, tree)] == [
        ("loadtests/s.json", "is missing", "make generate")
    ]


def test_stale_file_is_drift(tree: Path) -> None:
    """A server would still load a file that is no longer generated."""
    (tree / GENERATED / "old.yaml").write_text("", encoding="utf-8")
    (tree / "loadtests" / "mine.json").write_text("", encoding="utf-8")
    problems = drift.check(WANTED, tree)
    assert [(p.where, p.message, p.fix) for p in problems] == [
        (f"{GENERATED}/old.yaml", "nothing generates this file any more", "make generate")
    ]
