"""Files that only the user who runs the stack may read: its database, logs and keys."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

PRIVATE = 0o077  # the umask of everything that the stack starts


def make_private(folder: Path, left_out: Path) -> None:
    """Take the permissions of other users from a folder and all in it, but not from `left_out`.

    A running stack may remove files meanwhile. Links are not followed.
    """
    for parent, folders, files in os.walk(folder):
        if Path(parent) == left_out:
            folders.clear()
            continue
        for path in (Path(parent), *(Path(parent) / name for name in files)):
            with suppress(FileNotFoundError):
                if not path.is_symlink():
                    path.chmod(path.stat().st_mode & ~PRIVATE)


def new_key() -> str:
    """Return a random key in the form of the API's keys, which logs redact."""
    return "evara_" + secrets.token_urlsafe(32)


def write_if_missing(path: Path, text: str) -> None:
    """Write a file that only its owner may read, unless it exists; on a full disk, no file."""
    if not path.exists():
        write_private(path, text)


def write_private(path: Path, text: str) -> bool:
    """Write a file that only its owner may read; return whether its text has changed.

    It is replaced as a whole: a program that starts meanwhile reads the old text or the new one.
    """
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    draft = path.with_name(f"{path.name}.new")
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
    return True
