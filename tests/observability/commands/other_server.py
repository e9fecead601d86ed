"""A Prometheus of another service: below a path, with a password, and with one met SLO."""

import os
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from observability.drill.sandbox import free_ports
from observability.lib.bound_process import bind
from observability.spec import names
from tests.observability.compiler_support import SMALL, program

PASSWORD = "test"
HASH = "$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay"  # of the password
BASIC = b64encode(f"me:{PASSWORD}".encode()).decode()
RECORDED = {
    names.MEASURED: "vector(1)",
    names.TOTAL: "vector(time() * 1000)",
    names.BAD: "vector(0)",
}


@dataclass(frozen=True)
class OtherServer:
    """The server, and the files of its reader."""

    url: str
    folder: Path

    @property
    def options(self) -> tuple[str, ...]:
        """Return the options with which commands ask it."""
        catalogue, headers = self.folder / "theirs.yaml", self.folder / "headers"
        return (
            *("--catalogue", str(catalogue), "--prometheus", self.url),
            *("--header", f"@{headers}", "--header", "X-Scope-OrgID: shop"),
        )


@contextmanager
def other_server(folder: Path) -> Iterator[OtherServer]:
    """Run the server; its series are those that the rules of a service with one SLO record."""
    labels = {"service": "small", "slo": "things.list-availability"}
    rules = [{"record": name, "expr": expr, "labels": labels} for name, expr in RECORDED.items()]
    files = {
        "rules.yaml": {"groups": [{"name": "small", "rules": rules}]},
        "prometheus.yaml": {"global": {"evaluation_interval": "1s"}, "rule_files": ["rules.yaml"]},
        "web.yaml": {"basic_auth_users": {"me": HASH}},
    }
    for name, document in files.items():
        (folder / name).write_text(yaml.safe_dump(document), encoding="utf-8")
    (folder / "theirs.yaml").write_text(SMALL, encoding="utf-8")
    (folder / "headers").write_text(f"Authorization: Basic {BASIC}\n\n", encoding="utf-8")
    address = f"127.0.0.1:{free_ports()['prometheus']}"
    command = [
        program("prometheus"),
        f"--config.file={folder}/prometheus.yaml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.config.file={folder}/web.yaml",
        f"--web.listen-address={address}",
        f"--web.external-url=http://{address}/prometheus",
    ]
    with (folder / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(bind(command), stdout=log, stderr=log, env=os.environ)
    try:
        yield OtherServer(f"http://{address}/prometheus", folder)
    finally:
        process.kill()
        process.wait()
