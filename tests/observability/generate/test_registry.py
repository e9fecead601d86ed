"""Generated files: which are written, left alone and removed."""

from pathlib import Path

import pytest

from observability.generate import registry
from observability.spec.problems import Invalid

WANTED = {registry.GENERATED / "a" / "b.yaml": "text\n"}


def test_only_differences_are_written(tmp_path: Path) -> None:
    """A second run writes nothing; an edited file is restored, including its line ends."""
    assert registry.write(WANTED, tmp_path) == list(WANTED)
    path = tmp_path / registry.GENERATED / "a" / "b.yaml"
    before = path.stat().st_mtime_ns
    assert registry.write(WANTED, tmp_path) == []
    assert path.stat().st_mtime_ns == before
    for wrong in (b"text\r\n", b"\xff", b""):
        path.write_bytes(wrong)
        assert registry.write(WANTED, tmp_path) == list(WANTED)
        assert path.read_bytes() == b"text\n"


def test_stale_files_are_removed(tmp_path: Path) -> None:
    """Files below the generated folder that nothing generates are removed; no others are."""
    old, unrelated = (
        tmp_path / registry.GENERATED / "old.yaml",
        tmp_path / "loadtests" / "unrelated.json",
    )
    for path in (old, unrelated):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x", encoding="utf-8")
    assert registry.write(WANTED, tmp_path) == [registry.GENERATED / "old.yaml", *WANTED]
    assert not old.exists()
    assert unrelated.exists()


@pytest.mark.parametrize("content", [None, b"{", b"\xff", b"[1]", b"3"])
def test_unreadable_contract_is_a_problem(content: bytes | None, tmp_path: Path) -> None:
    """Missing, truncated or of another form: one problem with file and fix."""
    path = tmp_path / "openapi.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Invalid) as error:
        registry.read_contract(path)
    [problem] = error.value.problems
    assert problem.where == str(path)
    assert "contract write" in problem.fix
