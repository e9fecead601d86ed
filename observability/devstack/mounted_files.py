"""Restarts of containers whose mounted files have changed, which Compose itself does not notice."""

import hashlib
import json
from pathlib import Path

from observability.devstack.docker import run_compose
from observability.devstack.layout import COMPOSE, StackLayout
from observability.devstack.steps import StackError
from observability.lib.json_object import Json


def digests_file(layout: StackLayout) -> Path:
    """Return the file with a digest, by service, of what its containers have mounted."""
    return layout.state / COMPOSE / "mounted.json"


def restart_changed(layout: StackLayout) -> None:
    """Restart the services that started with other files than the present ones."""
    path = digests_file(layout)
    earlier = {}
    if path.exists():
        earlier = json.loads(path.read_text(encoding="utf-8"))
    config = compose_config(layout)
    digests = {
        name: digest_mounts(config, service)
        for name, service in config["services"].items()
        if service.get("restart") != "no"  # else `up` runs it again anyway
    }
    changed = []
    for name, digest in digests.items():
        if earlier.get(name, digest) != digest:
            changed.append(name)
    if changed:
        run_compose(layout, "restart", *changed)
    path.write_text(json.dumps(digests), encoding="utf-8")


def compose_config(layout: StackLayout) -> Json:
    """Return compose.yaml as Compose resolves it for the stack; raise StackError."""
    result = run_compose(layout, "config", "--format", "json")
    if result.returncode:
        raise StackError(f"docker compose rejects compose.yaml: {result.stderr.strip()}")
    return dict(json.loads(result.stdout))


def digest_mounts(config: Json, service: Json) -> str:
    """Return a digest of all files of this machine that a service mounts, secrets included."""
    digest = hashlib.sha256()
    for volume in service.get("volumes", ()):
        if volume["type"] == "bind":
            path = Path(volume["source"])
            for file in (path, *sorted(path.rglob("*"))):
                if file.is_file():
                    digest.update(file.read_bytes())
    for secret in service.get("secrets", ()):
        secret_file = Path(config["secrets"][secret["source"]]["file"])
        digest.update(secret_file.read_bytes())
    return digest.hexdigest()
