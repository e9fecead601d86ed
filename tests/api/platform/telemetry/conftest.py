"""Files of metrics that dead and living workers wrote."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.api.platform.telemetry.metric_folder import (
    BUCKET,
    INFINITE,
    LAST,
    OTHERS,
    REQUESTS,
    SUM,
    write,
)


@pytest.fixture
def dead() -> list[int]:
    """Return the ids of three processes that have ended."""
    pids = []
    for _ in range(3):
        process = subprocess.Popen(["true"])
        process.wait()
        pids.append(process.pid)
    return pids


@pytest.fixture
def folder(tmp_path: Path, dead: list[int]) -> Path:
    """Return a folder with files of three dead workers and of this living process."""
    folder = tmp_path / "metrics"
    folder.mkdir()
    for number, pid in enumerate(dead, start=1):
        write(folder, "counter", pid, {REQUESTS: number})
        write(folder, "histogram", pid, {BUCKET: number, INFINITE: 10 * number, SUM: 0.5 * number})
        write(folder, "gauge_max", pid, {LAST: -100.0 - number})
    write(folder, "counter", dead[1], {REQUESTS: 2, OTHERS: 5})
    write(folder, "counter", os.getpid(), {REQUESTS: 100})
    write(folder, "histogram", os.getpid(), {BUCKET: 100, INFINITE: 0, SUM: 1})
    return folder
