"""The scrape targets of the native stack, which Prometheus reads from files."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from observability.devstack.layout import HOST, StackLayout
from observability.devstack.private_files import write_private
from observability.spec import names

PUT_IN_PLACE = ("/bin/sh", "-c", "cat; mv -f drafts/*.yaml targets/")


def target_ports(layout: StackLayout) -> dict[str, int]:
    """Return the port by the name of the targets file, as devstack/prometheus.yaml spells it."""
    ports = layout.ports
    return {
        names.SCRAPE_API: ports["metrics"],
        names.SCRAPE_PROBER: ports["prober"],
        names.SCRAPE_PROMETHEUS: ports["prometheus"],
        "alertmanagers": ports["alertmanager"],
    }


@contextmanager
def announced_at_end(layout: StackLayout) -> Iterator[None]:
    """Write the targets files after the block: from then on a target that is away counts as down.

    They are written whatever ends the block: what runs is monitored. A child puts them in place,
    whose standard input the kernel closes even when this process gets SIGKILL.
    """
    drafts = layout.config / "drafts"
    drafts.mkdir(mode=0o700, exist_ok=True)
    for name, port in target_ports(layout).items():
        text = yaml.safe_dump([{"targets": [f"{HOST}:{port}"]}])
        write_private(drafts / f"{name}.yaml", text)
    child = subprocess.Popen(  # noqa: S603 - our own; Ctrl-C does not reach a session of its own
        PUT_IN_PLACE, cwd=layout.config, stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        yield
    finally:
        child.communicate()


def withdraw_targets(layout: StackLayout) -> None:
    """Remove the targets files, before a stack starts."""
    for path in (layout.config / "targets").glob("*.yaml"):
        path.unlink()
