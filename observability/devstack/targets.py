"""The scrape targets of the native stack, which Prometheus reads from files."""

from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from observability.devstack.layout import HOST, StackLayout
from observability.spec import names


def target_ports(layout: StackLayout) -> dict[str, int]:
    """Return the port by the name of the targets file, as devstack/prometheus.yaml spells it."""
    ports = layout.ports
    return {
        names.SCRAPE_API: ports["metrics"],
        names.SCRAPE_PROBER: ports["prober"],
        names.SCRAPE_PROMETHEUS: ports["prometheus"],
        "alertmanagers": ports["alertmanager"],
    }


def announce_targets(layout: StackLayout) -> None:
    """Write the targets files; call it when the targets work.

    From then on a target that does not answer counts as down.
    """
    for name, port in target_ports(layout).items():
        draft = layout.config / f"{name}.new"
        draft.write_text(yaml.safe_dump([{"targets": [f"{HOST}:{port}"]}]), encoding="utf-8")
        draft.replace(layout.config / "targets" / f"{name}.yaml")


@contextmanager
def announced_at_end(layout: StackLayout) -> Iterator[None]:
    """Announce the targets after the block, also when it fails: what runs is monitored."""
    try:
        yield
    finally:
        announce_targets(layout)


def withdraw_targets(layout: StackLayout) -> None:
    """Remove the targets files, before a stack starts."""
    for path in (layout.config / "targets").glob("*.yaml"):
        path.unlink()
