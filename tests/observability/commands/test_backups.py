"""`backup` and `restore`: what they print, and their exit codes."""

from pathlib import Path

import pytest

from observability.devstack import compose_backups
from observability.devstack.layout import StackLayout
from observability.devstack.steps import StackError
from tests.observability.commands.support import invoke


@pytest.fixture
def compose_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make the compose stack the one that was last up."""
    monkeypatch.setenv("EVARA_STACK_DIR", str(tmp_path))
    StackLayout.main().remember_mode("compose")


@pytest.mark.parametrize("words", [("backup",), ("restore", "evara.dump")])
def test_a_native_stack_has_no_backups(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """Both commands exit 2 with a sentence, and do nothing."""
    monkeypatch.setenv("EVARA_STACK_DIR", str(tmp_path))
    result = invoke(*words)
    assert result.exit_code == 2
    assert f"make {words[0]} works for the compose stack, and this one is native" in result.stderr
    assert "fix: make up MODE=compose" in result.stderr


@pytest.mark.usefixtures("compose_stack")
def test_restore_needs_a_file() -> None:
    """Without one it exits 2 and says how to name it."""
    result = invoke("restore")
    assert result.exit_code == 2
    assert "fix: make restore FILE=PATH" in result.stderr


@pytest.mark.usefixtures("compose_stack")
def test_success_and_failure_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of a backup is printed; a reason is printed without a traceback, with exit 1."""
    path = Path("backups", "[red]evara-1.dump")
    monkeypatch.setattr(compose_backups, "backup", lambda *_: path)
    monkeypatch.setattr(compose_backups, "restore", lambda *_: None)
    assert f"make restore FILE={path}" in invoke("backup").stdout
    assert f"the stack has the data of {path}" in invoke("restore", str(path)).stdout

    def refuse(*_: object) -> None:
        raise StackError("the disk [x] is full")

    for name, words in (("backup", ()), ("restore", ("file",))):
        monkeypatch.setattr(compose_backups, name, refuse)
        result = invoke(name, *words)
        assert (result.exit_code, "the disk [x] is full" in result.stderr) == (1, True)
