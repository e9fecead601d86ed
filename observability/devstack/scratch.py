"""Scratch folders in the temporary folder, which are found again when their owner was killed."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OWNER = "owner"  # the file that the owner of a folder keeps locked while it lives


class ScratchFolder:
    """A new folder, marked as owned by this process until it is removed."""

    def __init__(self, prefix: str):
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        draft = self.path / f"{OWNER}.new"
        self._lock = draft.open("w", encoding="utf-8")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        draft.rename(self.path / OWNER)  # locked before another process can see it

    def remove(self) -> None:
        """Remove the folder with everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


@contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """Yield a scratch folder and remove it, together with those of owners that were killed."""
    for abandoned in abandoned_folders(prefix):
        shutil.rmtree(abandoned, ignore_errors=True)
    folder = ScratchFolder(prefix)
    try:
        yield folder.path
    finally:
        folder.remove()


def abandoned_folders(prefix: str) -> Iterator[Path]:
    """Yield the scratch folders whose owner has ended, each locked while the caller removes it."""
    for owner in Path(tempfile.gettempdir()).glob(f"{prefix}*/{OWNER}"):
        try:
            if owner.lstat().st_uid != os.getuid():
                continue
            lock = owner.open("r+", encoding="utf-8")
        except OSError:
            continue  # removed meanwhile
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield owner.parent
