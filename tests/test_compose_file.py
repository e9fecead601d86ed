"""compose.yaml: the guarantees hold for every service, and exceptions have a reason."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.platform.keys import TOKEN
from observability.devstack import compose_secrets, docker
from observability.devstack.layout import stack_ports
from observability.devstack.programs import DAY
from observability.spec.loading import load_plan

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")
FILE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
PROFILES = sorted(
    {profile for service in SERVICES.values() for profile in service.get("profiles", ())}
)
OWNER = "${EVARA_UID:-10001}:${EVARA_GID:-10001}"
ONCE = {"prepare", "migrate"}  # run to their end

ROOT_USER = {"prepare": "gives new volumes to the containers' user; without network, CHOWN alone"}
CAPABILITIES = {"prepare": ["CHOWN"]}
WITHOUT_HEALTH_CHECK = {
    "prepare": "runs to its end",
    "migrate": "runs to its end",
    "fluent-bit": "its image has neither shell nor client; `make up` waits for a log line instead",
    "locust-worker": "listens nowhere; the master's page counts its workers",
}
NOT_SHIPPED = {
    "prepare": "runs before Fluent Bit",
    "migrate": "read when it fails, by `make logs P=migrate`",
    "fluent-bit": "what it says of lines would make lines",
    "loki": "what it says of lines would make lines",
}
each = pytest.mark.parametrize("name", sorted(SERVICES))


@each
def test_nothing_runs_as_root(name: str) -> None:
    """Every service runs as the owner of the secrets, a user that no image has."""
    assert SERVICES[name]["user"] == ("0:0" if name in ROOT_USER else OWNER)


@each
def test_services_have_no_privileges(name: str) -> None:
    """No capabilities, a read-only root filesystem, and no access to engine or machine."""
    service = SERVICES[name]
    assert (service["cap_drop"], service.get("cap_add", [])) == (
        ["ALL"],
        CAPABILITIES.get(name, []),
    )
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert not {"privileged", "devices", "pid", "ipc", "userns_mode"} & service.keys()
    assert not [volume for volume in service.get("volumes", ()) if "docker.sock" in volume]


@each
def test_files_of_the_code_are_mounted_read_only(name: str) -> None:
    """Services write only to their own volumes, which no image fills."""
    for volume in SERVICES[name].get("volumes", ()):
        source, options = volume.split(":")[0], volume.rsplit(":", 1)[-1]
        if source in FILE["volumes"]:
            assert options == "nocopy" or name == "prepare", volume
        else:
            assert options == "ro", volume


@each
def test_resources_are_limited(name: str) -> None:
    """Memory, processors, processes and the time to stop are bounded."""
    service = SERVICES[name]
    assert re.fullmatch(r"\d+[mg]", str(service["mem_limit"]))
    assert 0 < service["cpus"] <= 1, "an engine refuses more processors than the machine has"
    assert 0 < service["pids_limit"] <= 300
    assert re.fullmatch(r"\d+s", service["stop_grace_period"])


@each
def test_services_have_a_health_check(name: str) -> None:
    """Every long-running service has a health check, or a reason why not."""
    check = SERVICES[name].get("healthcheck", {"disable": True})
    assert check.get("disable", False) == (name in WITHOUT_HEALTH_CHECK)
    assert (
        check.get("disable")
        or {"test", "interval", "timeout", "retries", "start_period"} <= check.keys()
    )


@each
def test_services_restart(name: str) -> None:
    """Services that run once do not restart; all others do."""
    assert SERVICES[name]["restart"] == ("no" if name in ONCE else "unless-stopped")


@each
def test_images_are_pinned(name: str) -> None:
    """Images have a full release number; our own are built from pinned ones."""
    service = SERVICES[name]
    built = {one["image"]: one for one in SERVICES.values() if "build" in one}
    assert ("build" in service) == (service.get("pull_policy") == "build")
    if service["image"] in built:
        service = built[service["image"]]
        dockerfile = (ROOT / service["build"]["dockerfile"]).read_text(encoding="utf-8")
        stages = set(re.findall(r" AS (\S+)$", dockerfile, re.MULTILINE))
        bases = set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) - stages
        assert bases
        assert service["build"]["target"] in stages
        assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim", base) for base in bases)
    else:
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+(\.\d+)?(-alpine)?", service["image"]), service[
            "image"
        ]


@each
def test_only_the_gateway_is_reachable_from_other_hosts(name: str) -> None:
    """Published ports are the stable ones, can be moved together, and are bound to this host."""
    for port in SERVICES[name].get("ports", ()):
        published = re.fullmatch(r"(127\.0\.0\.1:)?\$\{EVARA_PORT_(\w+):-(\d+)\}:\d+", port)
        assert published, port
        assert (published[1] is None) == (name == "gateway")
        assert stack_ports()[published[2].lower()] == int(published[3])


def test_three_networks_are_internal() -> None:
    """Only services that publish a port or call other hosts are on a network with a way out."""
    assert {name for name, network in FILE["networks"].items() if network.get("internal")} == {
        "edge",
        "data",
        "watch",
    }
    assert set(FILE["networks"]) == {"edge", "data", "watch", "outside"}
    outside = {
        name for name, service in SERVICES.items() if "outside" in service.get("networks", ())
    }
    calls = {"api", "worker"}
    assert outside == {name for name, service in SERVICES.items() if service.get("ports")} | calls
    assert {"postgres", "postgres-replica", "valkey", "backup", "migrate", "prober"}.isdisjoint(
        outside
    )
    assert {name for name, service in SERVICES.items() if "networks" not in service} == {"prepare"}
    assert SERVICES["prepare"]["network_mode"] == "none"


@each
def test_no_environment_contains_a_secret(name: str) -> None:
    """Variables for secrets hold the path of a file, and no URL holds a password."""
    for key, value in SERVICES[name].get("environment", {}).items():
        if re.search(r"PASS|SECRET|TOKEN|KEY|DSN|CREDENTIAL", key):
            assert "/run/secrets/" in str(value), key
        assert not re.search(r"://[^/]*:[^/]*@", str(value)), key


@each
def test_up_creates_every_secret(name: str, tmp_path: Path) -> None:
    """The first `make up` creates every file that a service mounts as a secret."""
    compose_secrets.make_secrets(tmp_path)
    for secret in SERVICES[name].get("secrets", ()):
        source = secret if isinstance(secret, str) else secret["source"]
        assert FILE["secrets"][source] == {"file": f"${{EVARA_SECRETS_DIR:-./secrets}}/{source}"}
        assert (tmp_path / source).exists()


@each
def test_logs_are_shipped(name: str) -> None:
    """Services have the label that names the program, and log files have a limited size."""
    logging = SERVICES[name]["logging"]
    if name in NOT_SHIPPED:
        assert (logging["driver"], {"max-size", "max-file"} <= logging["options"].keys()) == (
            "json-file",
            True,
        )
    else:
        assert logging["driver"] == "fluentd"
        assert (logging["options"]["fluentd-async"], logging["options"]["labels"]) == (
            "true",
            "com.docker.compose.service",
        )
    assert ("rename: com.docker.compose.service program") in (
        ROOT / "observability/generated/fluent-bit/docker.yaml"
    ).read_text()


def test_stop_timeouts_are_nested() -> None:
    """gunicorn's graceful timeout < supervisord's stop timeout < Docker's."""
    graceful = re.search(
        r"^graceful_timeout = (\d+)", (ROOT / "api/gunicorn.conf.py").read_text(), re.MULTILINE
    )
    patient = re.search(
        r"^stopwaitsecs = (\d+)", (ROOT / "api/supervisord.conf").read_text(), re.MULTILINE
    )
    assert graceful
    assert patient
    for name in ("api", "worker"):
        assert (
            int(graceful[1])
            < int(patient[1])
            < int(SERVICES[name]["stop_grace_period"].rstrip("s"))
        )


def test_intervals_and_retention_equal_the_plan() -> None:
    """Retention, probe interval and scrape interval are those of the plan."""
    plan = load_plan()
    assert (
        f"--storage.tsdb.retention.time={int(plan.period.seconds) // DAY + 1}d"
        in SERVICES["prometheus"]["command"]
    )
    assert SERVICES["prober"]["command"][-1].endswith(f" {int(plan.probe_every)}s")
    ours, native = (
        yaml.safe_load((ROOT / "observability/devstack" / name).read_text())
        for name in ("compose/prometheus.yaml", "prometheus.yaml")
    )
    assert ours["global"] == native["global"]
    assert {job["job_name"] for job in native["scrape_configs"]} <= {
        job["job_name"] for job in ours["scrape_configs"]
    }


def test_prometheus_reaches_its_targets() -> None:
    """Every scrape job names services of this file that Prometheus can reach."""
    jobs = yaml.safe_load((ROOT / "observability/devstack/compose/prometheus.yaml").read_text())[
        "scrape_configs"
    ]
    for job in jobs:
        hosts = [name for config in job.get("dns_sd_configs", ()) for name in config["names"]]
        hosts += [
            target.split(":")[0]
            for config in job.get("static_configs", ())
            for target in config["targets"]
        ]
        for host in set(hosts) - {"localhost"}:
            assert set(SERVICES[host]["networks"]) & set(SERVICES["prometheus"]["networks"]), host


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("api", "gateway"),  # of clients and of HAProxy's checks; the exporter accepts addresses
        ("replay", "replay"),
        ("prober", "prober"),
        ("console", "console"),
    ],
)
def test_servers_accept_the_names_under_which_services_reach_them(name: str, host: str) -> None:
    """Besides this machine's names; `make up` adds those of EVARA_TRUSTED_HOSTS."""
    hosts = SERVICES[name]["environment"]["EVARA_TRUSTED_HOSTS"].split(",")
    assert hosts[0] == host
    assert hosts[1:] == (["${EVARA_TRUSTED_HOSTS:-}"] if name in ("api", "console") else [])


def texts(folder: Path) -> dict[str, str]:
    return {
        path.name: path.read_text(encoding="utf-8") for path in folder.iterdir() if path.is_file()
    }


def test_secrets_are_created_once_with_private_modes(tmp_path: Path) -> None:
    """Modes are 700 and 600; existing secrets stay; the API accepts the keys."""
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o755)
    (folder / "slack_url").write_text("https://hooks.example/x", encoding="utf-8")
    compose_secrets.make_secrets(folder)
    first = texts(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir() if path.is_file()} == {0o600}
    owner = docker.USER if os.geteuid() == 0 else os.geteuid()
    assert {path.stat().st_uid for path in folder.iterdir()} == {owner}
    empty = {name for name, text in first.items() if not text}
    assert empty == set(compose_secrets.USER_SECRETS) - {"slack_url"}
    assert all(TOKEN.fullmatch(first[name]) for name in compose_secrets.API_KEYS)
    assert f":{first['postgres_password']}@postgres:5432/evara" in first["evara_database_url"]
    assert first["valkey_password"] not in first["valkey_users.acl"], "Valkey's file holds digests"
    compose_secrets.make_secrets(folder)
    assert texts(folder) == first
    other = tmp_path / "other"
    compose_secrets.make_secrets(other)
    again = texts(other)
    created = [name for name in first if first[name] and name != "slack_url"]
    assert not [name for name in created if again[name] == first[name]]


def docker_compose(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("EVARA_", "COMPOSE_"))
    }
    return subprocess.run(
        ["docker", "compose", *words],
        cwd=ROOT,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("profile", ["", *PROFILES, "*"])
def test_docker_compose_accepts_the_file(profile: str, tmp_path: Path) -> None:
    """Docker Compose accepts every profile, without .env and before any secret exists."""
    if not shutil.which("docker") or docker_compose("version").returncode:
        pytest.skip("docker compose is not installed")
    words = ["--profile", profile] if profile else []
    result = docker_compose(
        "--env-file",
        os.devnull,
        *words,
        "config",
        "--format",
        "json",
        EVARA_SECRETS_DIR=str(tmp_path / "none"),
    )
    assert (result.returncode, result.stderr) == (0, "")
    described = json.loads(result.stdout)["services"]
    wanted = {
        name
        for name, service in SERVICES.items()
        if profile == "*" or set(service.get("profiles", [profile])) == {profile}
    }
    assert wanted <= described.keys()
    assert described["api"]["deploy"]["replicas"] == 2


@pytest.mark.parametrize("name", load_plan().stack.programs)
def test_helper_programs_match_the_catalogue(name: str) -> None:
    """Command and port are the declared ones, and the API reaches the program by its service."""
    program = load_plan().stack.programs[name]
    words = program.command.format(host="0.0.0.0", port=program.port).split()
    assert SERVICES[name]["command"] == words
    for setting, text in program.environment.items():
        expected = text.format(host=name, port=program.port)
        assert SERVICES["api"]["environment"][setting] == expected


def test_the_documented_restore_uses_the_password_of_the_superuser() -> None:
    """The restore command in docs/operations.md reads the secret that PostgreSQL starts with."""
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    passwords = re.findall(r"PGPASSWORD=\$\(cat (\S+)\) pg_restore -U postgres", operations)
    assert passwords == [SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD_FILE"]]
