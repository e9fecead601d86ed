"""`make deploy` and `make rollback` to a machine that sees no file of the checkout.

It is a real sshd with a home of its own, whose commands run in a mount namespace in which the
checkout is empty. It shares the Docker engine with this machine.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from observability.devstack.layout import PORTS, ROOT
from observability.drill.sandbox import free_ports
from tests.e2e.checkout import copy_checkout
from tests.e2e.documented_commands import blocks_of_page
from tests.e2e.images import SERVICES, require_engine, services_to_leave_out, write_override
from tests.e2e.shell import run_script
from tests.e2e.steady_clients import steady_traffic
from tests.e2e.waiting import eventually
from tests.ssh_host import NAME, SshHost, write_program

DEPLOY, LOOK, GO_BACK = blocks_of_page(ROOT / "docs" / "operations.md", "Deployment")
NEXT = "v1.2.1"  # the documented commands deploy v1.2.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INSIDE = """\
#!/bin/sh
exec unshare {options} --mount sh -c '
  for folder; do mount -t tmpfs empty "$folder" || exit; done
  cd || exit # the home of this machine, as after a login
  eval "$SSH_ORIGINAL_COMMAND"
' sh {folders}
"""


@dataclass(frozen=True)
class Deployment:
    """A checkout with tags, and the machine to which they are deployed."""

    checkout: Path
    host: SshHost
    project: str  # of Compose
    url: str  # of the API

    def shell(self, command: str) -> str:
        """Run a command as it is written, and return its output; fail if it fails."""
        path = f"{self.host.folder / 'client'}:{os.environ['PATH']}"
        return run_script(self.checkout, command, PATH=path)

    def on_host(self, command: str) -> str:
        """Run a command in the current release and return its output; fail if it fails."""
        result = self.host.run(f"cd evara/current && {command}")
        assert result.returncode == 0, result.stderr
        return result.stdout

    def containers(self) -> dict[str, dict[str, str]]:
        """Return image by id of the containers of each service."""
        found: dict[str, dict[str, str]] = {}
        for line in self.on_host("docker compose ps --all --format json").splitlines():
            row = json.loads(line)
            found.setdefault(row["Service"], {})[row["ID"]] = row["Image"]
        return found

    def secrets(self) -> dict[str, str]:
        """Return the text of each secret of the machine that is not empty."""
        paths = [path for path in (self.host.evara / "secrets").rglob("*") if path.is_file()]
        texts = {path.name: path.read_text(encoding="utf-8") for path in paths}
        return {name: text for name, text in texts.items() if text}

    def release(self, command: str, tag: str) -> None:
        """Deploy or roll back to a tag; check that no request fails and what was replaced."""
        before, secrets = self.containers(), self.secrets()
        url = f"{self.url}/api/v1/nodes/hill-tank"
        with steady_traffic(url, secrets["load_key"]) as traffic:
            assert eventually(lambda: traffic.total > 50)
            self.shell(command)
        print(f"{traffic.failures} of {traffic.total} requests failed: {command}")
        assert traffic.failures == {}
        after = self.containers()
        replaced = {name for name, ids in after.items() if ids.keys().isdisjoint(before[name])}
        ours = {name for name in after if "pull_policy" in SERVICES[name]}
        assert replaced == ours
        self.check_current(tag)
        assert self.secrets() == secrets

    def check_current(self, tag: str) -> None:
        """Check that code, images and version of the current release are those of a tag."""
        name = f"{tag}-{run_script(self.checkout, f'git rev-parse {tag}')[:12]}"
        assert (self.host.evara / "current").resolve().name == name
        assert set(self.containers()["api"].values()) == {f"{self.project}-api:{name}"}
        exec_api = "docker compose exec -T api"
        assert self.on_host(f"{exec_api} printenv EVARA_VERSION").strip() == name
        assert self.on_host(f"{exec_api} tail -n 1 api/app.py").strip() == f"# {tag}"


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield a checkout and the machine after the documented deploy; remove its stack."""
    require_engine()
    without = services_to_leave_out()
    folder = tmp_path_factory.mktemp("deploy")
    checkout = copy_checkout(folder / "checkout")
    for tag in ("v1.2.0", NEXT):
        run_script(checkout, f"echo '# {tag}' >> api/app.py; git commit -aqm {tag}; git tag {tag}")
    project, ports = f"evara-deploy-{os.getpid()}", free_ports()
    host = make_host(folder / "host", ports["api"] - PORTS["api"], checkout)
    host.evara.mkdir()
    files = f"compose.yaml:{write_override(without, host.folder)}"
    settings = f"COMPOSE_PROJECT_NAME={project}\nCOMPOSE_FILE={files}\n"
    (host.evara / ".env").write_text(settings, encoding="utf-8")
    deployment = Deployment(checkout, host, project, f"http://127.0.0.1:{ports['api']}")
    try:
        output = deployment.shell(DEPLOY)
        assert "✓ up in" in output, output
        yield deployment
    finally:
        down = ["docker", "compose", "--project-name", project, "down", "--volumes"]
        subprocess.run(down, cwd=folder, capture_output=True, check=False)
        tags = [
            f"{project}-{image}:{name}" for image in ("api", "tools") for name in host.releases()
        ]
        subprocess.run(["docker", "image", "rm", *tags], capture_output=True, check=False)


def make_host(folder: Path, port_offset: int, checkout: Path) -> SshHost:
    """Return a machine that sees neither this checkout nor its copy."""
    folder.mkdir()
    inside = folder / "inside"
    options = "" if os.geteuid() == 0 else "--user --map-current-user --keep-caps"
    write_program(inside, INSIDE.format(options=options, folders=f"{ROOT} {checkout}"))
    environment = {"PATH": f"{folder / 'programs'}:{PATH}", "EVARA_PORT_OFFSET": str(port_offset)}
    for name, value in os.environ.items():  # how this machine reaches the packages of Python
        if name.startswith("PIP_") or name.lower().endswith("_proxy"):
            environment[name] = value
    host = SshHost(folder, environment, inside)
    plugins = Path.home() / ".docker"
    if plugins.exists():
        ignored = shutil.ignore_patterns("buildx")
        shutil.copytree(plugins, host.home / ".docker", ignore=ignored)
    (folder / "client").mkdir()
    ssh = f'#!/bin/sh\nexec {shutil.which("ssh")} -F {host.config} "$@"\n'
    write_program(folder / "client" / "ssh", ssh)
    return host


def test_documented_deploy_serves(deployment: Deployment) -> None:
    """It answers to the name in .env, from files of the tag alone; Compose works there."""
    assert deployment.host.run(f"ls -A {ROOT} {deployment.checkout} | grep -v :").stdout == "\n"
    headers = {"Host": NAME, "Authorization": f"Bearer {deployment.secrets()['load_key']}"}
    assert httpx.get(f"{deployment.url}/api/v1/nodes", headers=headers).status_code == 200
    deployment.check_current("v1.2.0")
    shown = deployment.shell(LOOK)
    assert "gateway" in shown
    assert "RUNNING" in shown


def test_next_release_replaces_only_what_changed(deployment: Deployment) -> None:
    """No request fails; containers whose image is not ours stay, whatever the folder's name."""
    deployment.release(f"make deploy TO={NAME} REF={NEXT}", NEXT)


def test_documented_rollback_goes_back(deployment: Deployment) -> None:
    """No request fails; the images of the earlier release are used again."""
    listing = "docker image ls --format '{{.Repository}}:{{.Tag}} {{.ID}}'"
    images = f"{listing} --filter 'reference={deployment.project}-*' | sort"
    before = run_script(ROOT, images)
    deployment.release(GO_BACK, "v1.2.0")
    assert run_script(ROOT, images) == before


def test_secrets_are_on_the_machine_alone(deployment: Deployment) -> None:
    """Neither the checkout nor what is sent has one."""
    secrets = {name: text.encode() for name, text in deployment.secrets().items()}
    assert {"postgres_password", "load_key", "evara_database_url"} <= secrets.keys()
    archive = deployment.checkout.parent / "archive.tar"
    run_script(deployment.checkout, f"git archive --output {archive} {NEXT}")
    tracked = run_script(deployment.checkout, "git ls-files --cached --others").splitlines()
    for path in (archive, *(deployment.checkout / name for name in tracked)):
        if path.is_file():
            data = path.read_bytes()
            assert [name for name, text in secrets.items() if text.strip() in data] == [], path
