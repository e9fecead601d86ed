"""Restarts of containers whose mounted files have changed, which Compose itself does not notice.

The gateway reads its files again without a restart, so that no request is lost.
"""

import hashlib
import json
from collections.abc import Collection
from pathlib import Path

from observability.devstack.compose_files import restore_files
from observability.devstack.docker import output_of, run_compose
from observability.devstack.layout import COMPOSE, StackLayout
from observability.devstack.steps import StackError
from observability.lib.json_object import Json

GATEWAY = "gateway"
GATEWAY_CHECK = ("haproxy", "-c", "-f", "/usr/local/etc/haproxy/haproxy.cfg")


def digests_file(layout: StackLayout) -> Path:
    """Return the file with a digest, by service, of what its containers have mounted."""
    return layout.state / COMPOSE / "mounted.json"


def mount_digests(layout: StackLayout) -> dict[str, str]:
    """Return a digest, by service, of the present files that its containers mount."""
    config = compose_config(layout)
    return {
        name: digest_mounts(config, service)
        for name, service in config["services"].items()
        if service.get("restart") != "no"  # else `up` runs it again anyway
    }


def changed_mounts(layout: StackLayout) -> set[str]:
    """Return the services that started with other files than the present ones."""
    digests = mount_digests(layout)
    earlier = started_with(layout)
    return {name for name, digest in digests.items() if earlier.get(name, digest) != digest}


def started_with(layout: StackLayout) -> dict[str, str]:
    """Return the digests of the files that containers started with; {} before the first `up`."""
    path = digests_file(layout)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def restart_changed(layout: StackLayout, kept: Collection[str]) -> None:
    """Restart the services that started with other files than the present ones.

    Only those whose containers were `kept` can have: new ones started with the present files.
    Raise StackError after the others have restarted, when one cannot: the next `up` tries it again.
    """
    changed = changed_mounts(layout).intersection(kept)
    earlier = started_with(layout)
    digests = mount_digests(layout)
    problems = []
    for services in (changed - {GATEWAY}, changed & {GATEWAY}):
        try:
            read_again(layout, services)
        except StackError as error:
            problems.append(str(error))
            digests |= {name: earlier[name] for name in services}
    digests_file(layout).write_text(json.dumps(digests), encoding="utf-8")
    if problems:
        raise StackError("; ".join(problems))


def read_again(layout: StackLayout, services: Collection[str]) -> None:
    """Let services read their changed files; raise StackError."""
    if GATEWAY in services:
        reload_gateway(layout)
    elif services:
        names = sorted(services)
        restarted = run_compose(layout, "restart", *names)
        failure = f"{', '.join(names)} cannot restart with changed files"
        output_of(restarted, failure, "make status, then make up")


def reload_gateway(layout: StackLayout) -> None:
    """Let HAProxy read its files again: it keeps its ports and ends the requests that it has.

    Raise StackError when it would refuse them; it then keeps the earlier ones.
    """
    check = run_compose(layout, "exec", "-T", GATEWAY, *GATEWAY_CHECK)
    alerts = [line for line in check.stderr.splitlines() if "[ALERT]" in line]
    if check.returncode and alerts:
        restore_files(layout, GATEWAY)  # else its next start would fail
        raise StackError(
            "the gateway refuses its new configuration or certificates and keeps the earlier ones; "
            f"fix: {alerts[0]}"
        )
    fix = f"make logs P={GATEWAY}, then make up"
    output_of(check, "the gateway cannot be asked whether it accepts its changed files", fix)
    reloaded = run_compose(layout, "kill", "--signal", "SIGUSR2", GATEWAY)
    output_of(reloaded, "the gateway does not read its changed files", fix)


def compose_config(layout: StackLayout) -> Json:
    """Return compose.yaml as Compose resolves it for the stack; raise StackError."""
    result = run_compose(layout, "config", "--format", "json")
    fix = "correct what it names in compose.services.yaml or compose.override.yaml"
    return dict(json.loads(output_of(result, "docker compose rejects compose.yaml", fix)))


def digest_mounts(config: Json, service: Json) -> str:
    """Return a digest of all files of this machine that a service mounts, secrets included."""
    digest = hashlib.sha256()
    for volume in service.get("volumes", ()):
        if volume["type"] == "bind":
            path = Path(volume["source"])
            for file in (path, *sorted(path.rglob("*"))):
                if file.is_file():
                    digest.update(bytes(file.relative_to(path)))
                    digest.update(file.read_bytes())
    for secret in service.get("secrets", ()):
        secret_file = Path(config["secrets"][secret["source"]]["file"])
        digest.update(secret_file.read_bytes())
    return digest.hexdigest()
