"""Releases of the compose stack: new containers run beside the old ones until they work.

The database is migrated first. When a step fails, the new containers are removed, and images and
settings are again those of the old release (docs/adr/0031-releases.md).
"""

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from observability.devstack import docker
from observability.devstack.compose_settings import project_name, settings_file
from observability.devstack.containers import (
    LABEL,
    end,
    health_of,
    inspect,
    inspect_ids,
    remove,
    running,
    service_of,
)
from observability.devstack.docker import output_of, run_compose
from observability.devstack.layout import COMPOSE, StackLayout
from observability.devstack.mounted_files import GATEWAY, changed_mounts, compose_config
from observability.devstack.private_files import write_private
from observability.devstack.steps import StackError, Steps
from observability.lib.http import poll
from observability.lib.json_object import Json
from observability.spec import names

API = "api"
BESIDE = (API, "worker")  # of these, new containers can run beside the old ones
MIGRATE = "migrate"
ALONE = "console"  # publishes a port; Alertmanager repeats what it cannot deliver meanwhile
RELEASED = (*BESIDE, ALONE, MIGRATE)  # while the old release serves
SLOTS = 8  # of replicas in haproxy.cfg
GATEWAY_METRICS = "http://gateway.metrics:8405/metrics"  # EVARA_GATEWAY_METRICS_BIND
ACTIVE = re.compile(rf'^{names.GATEWAY_SERVERS}\{{proxy="ready"\}} (\d+)', re.MULTILINE)
HEALTHY_SECONDS = 600  # longer than Docker takes to call a container unhealthy
POLL_SECONDS = 1.0
LOG_LINES = 50
REPEAT = "correct the cause, then make up"
UP = ("up", "--detach", "--no-deps", "--no-build")


@dataclass(frozen=True)
class Before:
    """What ran before a release: containers by id, images by tag, and the settings."""

    containers: frozenset[str]
    images: dict[str, str]
    settings: str | None  # None: an older release kept them elsewhere


@dataclass(frozen=True)
class Target:
    """What `up` would start: services, their hashes, and those whose mounted files changed."""

    services: Json
    hashes: dict[str, str]
    remounted: set[str]

    def has(self, container: Json) -> bool:
        """Return whether a container is one of the new release."""
        service = service_of(container)
        image = docker.image_id(self.services[service]["image"])
        container_hash = container["Config"]["Labels"][LABEL + "config-hash"]
        is_same = (container_hash, container["Image"]) == (self.hashes[service], image)
        return is_same and service not in self.remounted

    def replicas(self, service: str) -> int:
        """Return how many containers of a service are configured."""
        return int(self.services[service].get("deploy", {}).get("replicas", 1))


@dataclass(frozen=True)
class Replaced:
    """The services of which new containers serve, and the ids of the old ones beside them."""

    services: Collection[str] = ()
    old: Sequence[str] = ()


def remember(layout: StackLayout) -> Before | None:
    """Return what runs now.

    Return None when no replica runs: then there is nothing to keep. Only the engine is asked,
    because compose.yaml is that of the next release already.
    """
    present = running()
    services = {service_of(container) for container in present}
    if API not in services:
        return None
    tags = {str(container["Config"]["Image"]) for container in present}
    released = [row["Id"] for row in present if service_of(row) in (*BESIDE, ALONE)]
    path = settings_file(layout)
    return Before(
        containers=frozenset(released),
        images={tag: docker.image_id(tag) for tag in tags},
        settings=path.read_text(encoding="utf-8") if path.exists() else None,
    )


@contextmanager
def taken_back(layout: StackLayout, before: Before | None) -> Iterator[None]:
    """Restore containers, images and settings when the block fails; it changes no mounted file."""
    try:
        yield
    except BaseException as error:
        if before is None:
            raise
        try:
            restore(layout, before)
        except (StackError, OSError) as failure:
            raise StackError(
                f"{str(error) or 'interrupted'}; the release could not be taken back, and new"
                f" containers may run beside the old ones: {failure}"
            ) from error
        if isinstance(error, StackError):
            raise StackError(f"{error}; the old release keeps serving") from error
        raise


def restore(layout: StackLayout, before: Before) -> None:
    """Use the images and settings of the old release again; remove the new containers."""
    for tag, image in before.images.items():
        if image not in ("", docker.image_id(tag)):
            tagged = docker.run_docker("tag", image, tag)
            output_of(tagged, f"{tag} stays the new image", f"docker tag {image} {tag}")
    if before.settings is None:
        settings_file(layout).unlink(missing_ok=True)
    else:
        write_private(settings_file(layout), before.settings)
    # Stopped in order: the gateway may already send requests to new replicas.
    end([row["Id"] for row in inspect(*BESIDE) if row["Id"] not in before.containers])
    if any(row["Id"] not in before.containers for row in inspect(ALONE)):
        start(layout, ALONE)


def replace(layout: StackLayout, step: Steps) -> Replaced:
    """Migrate the database, and start new containers of the services that changed."""
    target = read_target(layout)
    old = [container for container in running(*BESIDE, ALONE) if not target.has(container)]
    changed = {service_of(container) for container in old}
    replaced = Replaced(changed, [row["Id"] for row in old if service_of(row) in BESIDE])
    if not changed:
        return replaced
    require_slots(target, [service_of(row) for row in old].count(API))
    start_needed(layout, target, step)
    with step("migrating the database; the old release keeps serving"):
        migrate(layout)
    for service in BESIDE:
        if service in changed:
            with step(f"starting new containers of {service} beside the old ones"):
                wait_for_health(layout, service, start_beside(layout, target, service))
    if API in changed:
        with step("the gateway sends requests to the new replicas"):
            wait_for_gateway(layout)
    if ALONE in changed:
        with step(f"replacing the {ALONE}, which has worked in a trial"):
            replace_alone(layout)
    return replaced


def end_old(replaced: Replaced, step: Steps) -> None:
    """End the old containers; the new ones serve, so that nothing is taken back from here on."""
    if replaced.old:
        with step("ending the old containers, when they have answered their requests"):
            end(replaced.old)


def read_target(layout: StackLayout) -> Target:
    """Return what `up` would start with the present files, images and settings."""
    services = compose_config(layout)["services"]
    listing = run_compose(layout, "config", "--hash", "*")
    words = output_of(listing, "docker compose cannot compare releases", REPEAT).split()
    hashes = dict(zip(words[::2], words[1::2], strict=True))
    return Target(services, hashes, changed_mounts(layout))


def require_slots(target: Target, old: int) -> None:
    """Raise StackError when the gateway cannot know all old replicas and the new ones beside."""
    if old and old + target.replicas(API) > SLOTS:
        fewer = "docker compose up --detach --no-deps --no-recreate --scale api=4 api; then "
        raise StackError(
            f"{old} old and {target.replicas(API)} new replicas are more than the {SLOTS} that the "
            f"gateway knows; fix: {fewer if old > SLOTS // 2 else ''}EVARA_REPLICAS=4 make up"
        )


def start_needed(layout: StackLayout, target: Target, step: Steps) -> None:
    """Start what `migrate` needs and does not run, such as the database; raise StackError."""
    needed = target.services[MIGRATE].get("depends_on", {}).keys()
    for service in sorted(needed - {service_of(container) for container in running()}):
        with step(f"starting {service}, which does not run"):
            start(layout, "--no-recreate", "--wait", service)


def migrate(layout: StackLayout) -> None:
    """Run the new release's migrations; raise StackError with the file of their last lines."""
    start(layout, "--force-recreate", MIGRATE)
    [container] = inspect(MIGRATE)
    waiting = docker.run_docker("wait", container["Id"])
    exit_code = output_of(waiting, "the end of the step migrate is unknown", REPEAT).strip()
    if exit_code != "0":
        log = keep_logs(layout, [container])
        raise StackError(
            "the step migrate failed; the old release works with the database as it is now; "
            f"fix: read {log}"
        )


def start_beside(layout: StackLayout, target: Target, service: str) -> list[str]:
    """Start new containers of a service, as many as are configured; return their ids.

    Those that an interrupted release left are among them. Raise StackError.
    """
    remove([row["Id"] for row in inspect(service) if not row["State"]["Running"]])
    old = {container["Id"] for container in running(service) if not target.has(container)}
    total = len(old) + target.replicas(service)
    start(layout, "--no-recreate", "--scale", f"{service}={total}", service)
    return [container["Id"] for container in inspect(service) if container["Id"] not in old]


def start(layout: StackLayout, *words: str) -> None:
    """Create and start containers of one service; raise StackError."""
    output_of(run_compose(layout, *UP, *words), f"{words[-1]} does not start", REPEAT)


def wait_for_health(layout: StackLayout, service: str, ids: list[str]) -> None:
    """Wait until containers are healthy; raise StackError when one is not, restarts or is gone."""
    if not ids:
        raise StackError(
            f"no new container of {service} was started; fix: configure at least one replica"
        )
    containers: list[Json] = []
    for _ in poll(HEALTHY_SECONDS, POLL_SECONDS):
        containers = inspect_ids(ids)
        if len(containers) < len(ids):
            raise StackError(f"a new container of {service} was removed meanwhile; fix: make up")
        states = {health_of(container) for container in containers}
        if states == {"healthy"}:
            return
        has_restarted = any(container["RestartCount"] for container in containers)
        if has_restarted or "unhealthy" in states:
            break
    log = keep_logs(layout, containers)
    raise StackError(f"the new {service} does not become healthy; fix: read {log}")


def wait_for_gateway(layout: StackLayout) -> None:
    """Wait until the gateway, if it runs, uses every healthy replica; raise StackError."""
    if not running(GATEWAY):
        return
    healthy = [health_of(container) for container in running(API)].count("healthy")
    words = ("exec", "-T", GATEWAY, "wget", "-q", "-O", "-", GATEWAY_METRICS)
    reason = ""
    for _ in poll(HEALTHY_SECONDS, POLL_SECONDS):
        asked = run_compose(layout, *words)
        active = ACTIVE.search(asked.stdout)
        if active and int(active[1]) >= healthy:
            return
        reason = asked.stderr.strip()
        if asked.returncode and not running(GATEWAY):
            break
    raise StackError(
        f"the gateway does not use all {healthy} replicas{reason and f': {reason}'};"
        f" fix: make logs P={GATEWAY}"
    )


def replace_alone(layout: StackLayout) -> None:
    """Try the new container without its port, and then replace the old one by it."""
    trial = f"{project_name()}-{ALONE}-trial"
    remove([trial])  # of an interrupted release
    try:
        words = ("run", "--detach", "--no-deps", "--name", trial, ALONE)
        started = run_compose(layout, *words)
        output_of(started, f"a trial of the new {ALONE} does not start", REPEAT)
        wait_for_health(layout, ALONE, [trial])
    finally:
        remove([trial])
    start(layout, "--force-recreate", ALONE)
    wait_for_health(layout, ALONE, [container["Id"] for container in inspect(ALONE)])


def keep_logs(layout: StackLayout, containers: list[Json]) -> Path:
    """Write the last lines of containers, which will be removed, to a file; return its path."""
    path = layout.state / COMPOSE / "failed-release.log"
    texts = []
    for container in containers:
        log = docker.run_docker("logs", f"--tail={LOG_LINES}", container["Id"])
        texts.append(f"== {container['Name'].lstrip('/')}\n{log.stdout}{log.stderr}")
    write_private(path, "\n".join(texts))
    return path
