"""Blocks of the past: what rules would have read if their server had run for long."""

import re
import subprocess
from pathlib import Path

from loadtests.bench.rules.service import EPOCH
from observability.devstack.binaries import find_server
from observability.devstack.layout import servers_folder
from observability.lib.prometheus import Prometheus
from observability.lib.promql import quote
from observability.spec.quantities import parse_duration

READ = re.compile(r"([a-zA-Z_:][\w:]*(?:\{[^}%]*\})?)\[(\w+)[\]:]")  # selector and range
BLOCK_HOURS = 54  # one of the lengths to which Prometheus compacts its blocks
BLOCK_SECONDS = BLOCK_HOURS * 3600
STEP = 60  # seconds
# A larger value is a counter, which was 0 at EPOCH; a rate, a ratio or a yes has never changed.
SMALLEST_COUNT = 1_000
Past = dict[str, tuple[int, float]]  # by series: for how many seconds it is read, and its value


def list_ranges(rules: str) -> dict[str, int]:
    """Return the longest range, in seconds, over which rules read each selector."""
    reads = READ.findall(rules)
    ranges = ((int(parse_duration(text).seconds), selector) for selector, text in reads)
    return {selector: seconds for seconds, selector in sorted(ranges)}


def collect(client: Prometheus, rules: str, now: int) -> Past:
    """Return every series that the rules read over a range, as a server has it at a Unix time."""
    past: Past = {}
    for selector, seconds in list_ranges(rules).items():
        for labels, value in client.query(selector, now):
            name = labels.pop("__name__")
            pairs = ",".join(f"{label}={quote(text)}" for label, text in labels.items())
            past[f"{name}{{{pairs}}}"] = seconds, value
    return past


def write_blocks(past: Past, folder: Path, now: int) -> None:
    """Write the past of series as blocks of `folder`/data; raise CalledProcessError."""
    folder.mkdir(parents=True)
    promtool = find_server("promtool", servers_folder())
    command = [str(promtool), "tsdb", "create-blocks-from", f"--max-block-duration={BLOCK_HOURS}h"]
    longest, _ = max(past.values())
    for start in range((now - longest) // BLOCK_SECONDS * BLOCK_SECONDS, now, BLOCK_SECONDS):
        with (folder / "past").open("w", encoding="utf-8") as file:
            for series, (seconds, value) in past.items():
                times = range(max(start, now - seconds), min(start + BLOCK_SECONDS, now), STEP)
                rate = value / (now - EPOCH) if value > SMALLEST_COUNT else 0
                file.writelines(f"{series} {value - rate * (now - at)} {at}\n" for at in times)
            file.write("# EOF\n")
        subprocess.run(  # noqa: S603
            [*command, "--quiet", "openmetrics", "past", "data"], cwd=folder, check=True
        )
