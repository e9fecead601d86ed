"""Files of metrics whose disk space is reserved before they are mapped into memory.

prometheus_client maps sparse files: on a full disk the kernel kills the process that writes to one
(SIGBUS). Here the values of a process stay in memory until its file has space, and move then.
"""

import logging
import mmap
import os
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict

INITIAL_BYTES = 1 << 16
RETRY_SECONDS = 5.0
ENTRY_BYTES = 32  # of a series at most, beside its key: length, padding, value and timestamp
USED = struct.Struct("i")  # the header: bytes in use
log = logging.getLogger(__name__)


class ValueBuffer(MmapedDict):
    """The format of prometheus_client's files, in memory."""

    def __init__(self, content: bytes = b"") -> None:
        self._capacity = max(len(content), INITIAL_BYTES)
        self._m = mmap.mmap(-1, self._capacity)
        self._m[: len(content)] = content
        self._used = max(8, USED.unpack_from(self._m)[0])
        USED.pack_into(self._m, 0, self._used)
        series = self._read_all_values()  # type: ignore[no-untyped-call]
        self._positions = {key: position for key, _, _, position in series}

    def content(self) -> bytes:
        """Return what a file of these values contains."""
        return self._m[: self._capacity]

    def _init_value(self, key: str) -> None:
        """Add a series; the values move to larger memory first when there is no room."""
        size = len(key.encode()) + ENTRY_BYTES
        if self._used + size > self._capacity:
            self._grow(size)
        super()._init_value(key)  # type: ignore[no-untyped-call]

    def _grow(self, size: int) -> None:
        content = self._m[: self._used]
        while self._used + size > self._capacity:
            self._capacity *= 2
        self._m.close()
        self._m = mmap.mmap(-1, self._capacity)
        self._m[: self._used] = content


class ReservedFile(ValueBuffer):
    """The values of one kind and process, in their file, or in memory while the disk is full."""

    in_memory: ClassVar[set["ReservedFile"]] = set()  # of this process
    retry_at: ClassVar = 0.0  # monotonic seconds
    error: ClassVar = ""  # why a file could not be written

    def __init__(self, filename: str) -> None:
        self.path = Path(filename)
        super().__init__(self.path.read_bytes() if self.path.exists() else b"")
        self._store()

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        """Write a value; prometheus_client's lock is held, which all files of a process share."""
        super().write_value(key, value, timestamp)  # type: ignore[no-untyped-call]
        if self.in_memory and time.monotonic() >= ReservedFile.retry_at:
            for file in list(self.in_memory):
                file._store()

    def close(self) -> None:
        """Let go of the memory."""
        self.in_memory.discard(self)
        self._m.close()

    def _grow(self, size: int) -> None:
        super()._grow(size)
        self._store()

    def _store(self) -> None:
        """Move the values from memory to a file with space for them, if the disk has it."""
        draft = self.path.with_suffix(".draft")  # no scrape reads it
        try:
            mapped = map_reserved(draft, self._capacity)
            mapped[:] = self._m[:]
            draft.replace(self.path)
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            self._keep_in_memory(error)
            return
        self._m.close()
        self._m = mapped
        if self in self.in_memory:
            self.in_memory.discard(self)
            log.warning("metrics are in their file again", extra={"path": str(self.path)})

    def _keep_in_memory(self, error: OSError) -> None:
        ReservedFile.retry_at = time.monotonic() + RETRY_SECONDS
        ReservedFile.error = str(error.strerror)
        if self not in self.in_memory:
            self.in_memory.add(self)
            fields = {"path": str(self.path), "error": error.strerror}
            log.warning("metrics wait in memory: their file cannot be written", extra=fields)


def map_reserved(path: Path, size: int) -> mmap.mmap:
    """Return the mapping of a new file with `size` bytes of disk space; raise OSError."""
    with path.open("w+b") as file:
        os.posix_fallocate(file.fileno(), 0, size)
        return mmap.mmap(file.fileno(), size)


def install() -> None:
    """Make prometheus_client keep its values in reserved files; call it before the first metric."""
    values.MmapedDict = ReservedFile  # type: ignore[assignment, attr-defined]
