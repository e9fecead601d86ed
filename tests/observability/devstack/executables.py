"""Scripts that replace servers."""

from pathlib import Path


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def printing(path: Path, words: str) -> None:
    executable(path).write_text(f"#!/bin/sh\necho '{words}'\n", encoding="utf-8")
