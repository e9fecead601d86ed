"""A folder of metrics as workers leave it: write its files, and read the sums."""

from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector

Values = dict[str, float]


def key(metric: str, name: str, **labels: str) -> str:
    """Return the key of a series in a file."""
    return mmap_key(metric, name, list(labels), list(labels.values()), "help")


REQUESTS = key("requests", "requests_total", route="a")
OTHERS = key("requests", "requests_total", route="b")
BUCKET = key("seconds", "seconds_bucket", route="a", le="0.2")
INFINITE = key("seconds", "seconds_bucket", route="a", le="+Inf")
SUM = key("seconds", "seconds_sum", route="a")
LAST = key("last", "last", task="sync")


def write(folder: Path, kind: str, pid: int, values: Values) -> Path:
    """Write the file of one process."""
    path = folder / f"{kind}_{pid}.db"
    file = MmapedDict(str(path))
    for name, value in values.items():
        file.write_value(name, value, 0.0)
    file.close()
    return path


def scrape(folder: Path) -> Values:
    """Return the sums of all files by series."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for metric in registry.collect()
        for sample in metric.samples
    }
