"""A real Alertmanager in a folder, as the native stack starts it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx

from observability.devstack.alertmanager_templates import template_wrapper
from observability.devstack.binaries import Server, find_server
from observability.devstack.layout import servers_folder
from tests.serving import free_port
from tests.waiting import until


class AlertmanagerServer:
    """A running Alertmanager and the alerts that it is told of."""

    def __init__(self, url: str):
        self.url = url

    def fire(self, *alerts: dict[str, str], annotations: dict[str, str] | None = None) -> None:
        """Report alerts, given by their labels, as Prometheus does."""
        self._report(alerts, annotations or {}, {})

    def resolve(self, *alerts: dict[str, str]) -> None:
        """Report the end of alerts."""
        self._report(alerts, {}, {"endsAt": datetime.now(UTC).isoformat()})

    def _report(
        self,
        alerts: tuple[dict[str, str], ...],
        annotations: dict[str, str],
        times: dict[str, str],
    ) -> None:
        body = [{"labels": labels, "annotations": annotations} | times for labels in alerts]
        httpx.post(f"{self.url}/api/v2/alerts", json=body, timeout=5).raise_for_status()


@contextmanager
def running_alertmanager(config: str, folder: Path) -> Iterator[AlertmanagerServer]:
    """Start Alertmanager with a configuration, yield it when it is ready, and end it."""
    path = find_server("alertmanager", servers_folder())
    assert path, "alertmanager is missing; unpack it with: python -m observability fetch"
    (folder / "alertmanager.yaml").write_text(config, encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    server = Server(path, template_wrapper(path, servers_folder()))
    command = server.command(
        f"--config.file={folder}/alertmanager.yaml",
        f"--storage.path={folder}/data",
        f"--web.listen-address={address}",
        f"--web.external-url=http://{address}",
        "--cluster.listen-address=",
    )
    log = folder / "alertmanager.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output) as process,
    ):
        try:
            url = f"http://{address}"
            until(lambda: is_ready(url, process, log), what="the start of Alertmanager")
            yield AlertmanagerServer(url)
        finally:
            process.terminate()


def is_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> bool:
    """Return whether the server answers; fail with its log when it has ended."""
    assert process.poll() is None, log.read_text(encoding="utf-8")
    try:
        return httpx.get(f"{url}/-/ready", timeout=5).is_success
    except httpx.TransportError:
        return False
