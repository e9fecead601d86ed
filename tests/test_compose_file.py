"""The services of compose.yaml: the guarantees hold for each, and exceptions have a reason."""

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from sqlalchemy import create_engine

from api.platform.db import engine_options
from api.platform.keys import TOKEN
from observability.devstack import compose_files, compose_secrets, compose_settings, releases
from observability.devstack.layout import stack_ports
from observability.spec.loading import load_plan
from observability.spec.quantities import format_duration, parse_duration
from tests.e2e import reachability

ROOT = Path(__file__).resolve().parent.parent
TEXT = compose_settings.SERVICES.read_text(encoding="utf-8")
FILE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OWNER = "${MAKE_UP_UID}:${MAKE_UP_GID}"
ONCE = {"prepare", "migrate"}  # run to their end

GATEWAY_CONFIG = ROOT / "observability/devstack/compose/gateway/haproxy.cfg"
CONNECTIONS_OF_TOOLS = 8  # exporter 3, backup 2, superuser_reserved_connections 3
CONNECTION_MEGABYTES = 6  # private memory of a server process; 5.4 MB after all routes
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
NOTICED_OTHERWISE = {
    "postgres": "DatabaseDown",
    "valkey": "ValkeyDown",
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


FILES = re.compile(r"\$\{MAKE_UP_FILES(?::\?[^}]*)?\}/")


def mounted_copies(name: str) -> dict[str, str]:
    """Return folder of copies → folder in the container."""
    volumes = [text for text in SERVICES[name].get("volumes", ()) if FILES.match(text)]
    return dict(FILES.sub("", text).removesuffix(":ro").split(":") for text in volumes)


@each
def test_services_mount_volumes_and_copies(name: str) -> None:
    """Services write only to their own volumes, which no image fills; files are copies."""
    for volume in SERVICES[name].get("volumes", ()):
        source, options = volume.split(":")[0], volume.rsplit(":", 1)[-1]
        if source in FILE["volumes"]:
            assert options == "nocopy" or name == "prepare", volume
        else:
            assert volume.startswith(("${MAKE_UP_FILES", "${MAKE_UP_SECRETS_DIR}/certificates"))
            assert options == "ro", volume


def test_services_find_their_copies() -> None:
    """Each copy is mounted, in a folder that belongs to one service, at the path that it names."""
    texts = compose_files.file_texts(load_plan(), frozenset())
    mounted: list[str] = []
    for name, service in SERVICES.items():
        copies = {}
        for folder, target in mounted_copies(name).items():
            paths = [path for path in texts if path.startswith(f"{folder}/")]
            mounted += paths
            copies |= {target + path.removeprefix(folder): texts[path] for path in paths}
        texts_of_service = " ".join((str(service), *copies.values()))
        for target in mounted_copies(name).values():
            named = re.findall(rf"(?<![\w./-]){Path(target).parent}/[\w./-]*\w", texts_of_service)
            assert {path for path in named if Path(path).suffix} <= copies.keys(), name
    assert sorted(mounted) == sorted(texts)


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
    ours = service["image"] in built
    assert (service.get("pull_policy") == "never") == ours, "nothing is built but by `make up`"
    if ours:
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
    """Published ports are the stable ones, can be moved together, and are bound to this host.

    None is on IPv6, where Docker's proxy would hide the address of the caller.
    """
    host = "0.0.0.0" if name == "gateway" else "127.0.0.1"
    for port in SERVICES[name].get("ports", ()):
        published = re.fullmatch(r"([\d.]+):\$\{MAKE_UP_PORT_(\w+)\}:(\d+)", port)
        assert published, port
        assert published[1] == host
        assert stack_ports()[published[2].lower()] == int(published[3])


NETWORKS: dict[str, dict[str, Any]] = FILE["networks"]
MASQUERADE = {"com.docker.network.bridge.enable_ip_masquerade": "false"}
CALLS = {"api": "egress-api", "worker": "egress-api", "alertmanager": "egress-alertmanager"}


def networks_of(name: str) -> set[str]:
    return set(SERVICES[name].get("networks", ()))


def test_only_two_networks_lead_out() -> None:
    """A network is internal, or carries published ports, or calls of the services that need it."""
    kinds = {"internal": True}, {"driver_opts": MASQUERADE}, {}
    assert all(options in kinds for options in NETWORKS.values())
    outward = {name for name, options in NETWORKS.items() if not options}
    callers = {name: networks_of(name) & outward for name in SERVICES}
    assert callers == {name: {CALLS[name]} if name in CALLS else set() for name in SERVICES}
    assert {name for name in SERVICES if not networks_of(name)} == {"prepare"}
    assert SERVICES["prepare"]["network_mode"] == "none"


@each
def test_docker_chooses_the_right_network_of_a_service_for_outside(name: str) -> None:
    """Of the networks that are not internal, the first by name has ports and the way out."""
    usable = sorted(n for n in networks_of(name) if not NETWORKS[n].get("internal"))
    if name in CALLS:
        assert usable[0] == CALLS[name]
    elif SERVICES[name].get("ports"):
        assert usable[0] == ("load" if name == "locust" else usable[-1])


def test_documented_needs_share_a_network() -> None:
    """Every service that needs a port, by the table of docs/security.md, can reach its server."""
    needs = reachability.documented(slice(0, 1))
    assert len(needs) > 20
    for (server, port), clients in needs.items():
        for client in clients:
            assert networks_of(client) & networks_of(server), f"{client} → {server}:{port}"


def test_few_networks_are_needed() -> None:
    """Docker's default address pools are enough for two stacks."""
    assert 2 * len(NETWORKS) <= 30


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
        assert FILE["secrets"][source] == {"file": f"${{MAKE_UP_SECRETS_DIR}}/{source}"}
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


def seconds(text: str) -> int:
    """Return the seconds of a duration such as 30s."""
    return int(text.removesuffix("s"))


def test_gateway_notices_that_a_replica_stops() -> None:
    """A replica is taken out before its port is closed, whatever stops it."""
    config = (ROOT / "observability/devstack/compose/gateway/haproxy.cfg").read_text(
        encoding="utf-8"
    )
    [line] = re.findall(r"^ *default-server resolvers .*$", config, re.MULTILINE)
    check = dict(re.findall(r"(inter|fastinter|fall) (\d+)", line))
    noticed = int(check["inter"]) + (int(check["fall"]) - 1) * int(check["fastinter"])
    assert noticed < seconds(SERVICES["api"]["environment"]["EVARA_DRAIN_SECONDS"])


def test_stop_timeouts_are_nested() -> None:
    """The time to be taken out, and gunicorn's < supervisord's stop timeout < Docker's."""
    graceful = re.search(
        r"^graceful_timeout = (\d+)", (ROOT / "api/gunicorn.conf.py").read_text(), re.MULTILINE
    )
    patient = re.search(
        r"^stopwaitsecs = (\d+)", (ROOT / "api/supervisord.conf").read_text(), re.MULTILINE
    )
    assert graceful
    assert patient
    drain = seconds(SERVICES["api"]["environment"]["EVARA_DRAIN_SECONDS"])
    for name in ("api", "worker"):
        stop = seconds(SERVICES[name]["stop_grace_period"])
        assert drain + int(graceful[1]) < int(patient[1]) < stop


def megabytes(text: str) -> int:
    """Return the megabytes of a size such as 512m, 2g or 256MB."""
    number, unit = re.fullmatch(r"(\d+)([mg])b?", text.lower()).groups()  # type: ignore[union-attr]
    return int(number) * {"m": 1, "g": 1024}[unit]


def test_postgres_admits_two_releases() -> None:
    """While old and new containers run, every pool may be full; each connection has its memory."""
    config = (ROOT / "observability/devstack/compose/postgres/postgresql.conf").read_text()
    settings = dict(re.findall(r"^(\w+) = (\w+)", config, re.MULTILINE))
    gunicorn = (ROOT / "api/gunicorn.conf.py").read_text(encoding="utf-8")
    [workers] = re.findall(r'"EVARA_WORKERS", (\d+)\)', gunicorn)
    pool: Any = create_engine("postgresql+psycopg://", **engine_options(False, 0)).pool
    per_process = pool.size() + pool._max_overflow
    replicas = releases.SLOTS // 2
    processes = 2 * (replicas * int(workers) + 1) + 1  # API and worker twice, and `migrate`
    needed = processes * per_process + CONNECTIONS_OF_TOOLS
    assert needed <= int(settings["max_connections"])
    memory = megabytes(settings["shared_buffers"]) + CONNECTION_MEGABYTES * needed
    assert memory <= megabytes(SERVICES["postgres"]["mem_limit"])


def test_gateway_knows_the_replicas_of_two_releases() -> None:
    """Both backends have a slot for each of them."""
    config = (ROOT / "observability/devstack/compose/gateway/haproxy.cfg").read_text(
        encoding="utf-8"
    )
    slots = re.findall(r"^ *server-template api (\d+) ", config, re.MULTILINE)
    assert slots == [str(releases.SLOTS)] * 2
    replicas = re.search(r":-(\d+)\}", SERVICES["api"]["deploy"]["replicas"])
    assert replicas
    assert 2 * int(replicas[1]) <= releases.SLOTS


def test_a_release_asks_the_gateway_where_it_listens() -> None:
    """Inside the gateway, for the replicas that it uses."""
    address = urlsplit(releases.GATEWAY_METRICS).netloc
    binds = SERVICES["gateway"]["environment"]["EVARA_GATEWAY_METRICS_BIND"]
    assert address in binds.split(",")


def test_memory_of_a_release_is_documented() -> None:
    """What runs beside the old containers: replicas, worker, and the trial of the console."""
    limits = {name: megabytes(SERVICES[name]["mem_limit"]) for name in ("api", "worker", "console")}
    more = 2 * limits["api"] + limits["worker"] + limits["console"]
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    [documented] = re.findall(r"needs at most (\d+) GB more memory", operations)
    assert int(documented) * 1024 == more


def test_intervals_and_retention_equal_the_plan() -> None:
    """Retention, probe interval and scrape interval are those of the plan."""
    plan = load_plan()
    assert (
        f"--storage.tsdb.retention.time={format_duration(plan.retention)}"
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
        for host in {*hosts, *fixed_hosts(job)} - {"localhost"}:
            assert set(SERVICES[host]["networks"]) & set(SERVICES["prometheus"]["networks"]), host


def fixed_hosts(job: dict[str, Any]) -> set[str]:
    """Return the services that a scrape job names; it notices when one of them is missing."""
    configs = job.get("static_configs", ())
    return {target.split(":")[0] for config in configs for target in config["targets"]}


def networks_of_host(name: str, host: str) -> set[str]:
    """Return the networks in which a service has a host name: its own, or an alias."""
    if host == name:
        return networks_of(name)
    networks = SERVICES[name]["networks"].items()
    return {network for network, options in networks if host in options.get("aliases", ())}


def test_a_missing_service_is_noticed() -> None:
    """Prometheus scrapes it at a fixed address, or the prober counts its declared replicas."""
    path = ROOT / "observability/devstack/compose/prometheus.yaml"
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["scrape_configs"]
    scraped = {"prometheus", *(host for job in jobs for host in fixed_hosts(job))} - {"localhost"}
    counted = {}
    for word in SERVICES["prober"]["environment"]["EVARA_INSTANCES"].split():
        program, count = word.split("=")
        host = program.partition(":")[0]
        name = host.partition(".")[0]
        counted[name] = count
        shared = networks_of_host(name, host) & networks_of("prober")
        assert len(shared) == 1, f"Docker's DNS may answer with an address in any of {shared}"
    for name, count in counted.items():
        assert count == SERVICES[name].get("deploy", {}).get("replicas", "1"), name
    optional = {name for name, service in SERVICES.items() if "profiles" in service}
    known = scraped | counted.keys() | ONCE | optional | NOTICED_OTHERWISE.keys()
    assert SERVICES.keys() <= known
    assert counted.keys().isdisjoint(scraped | NOTICED_OTHERWISE.keys())


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
    assert hosts[1:] == (["${MAKE_UP_TRUSTED_HOSTS:-}"] if name in ("api", "console") else [])


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
    owner = compose_settings.USER if os.geteuid() == 0 else os.geteuid()
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


@pytest.mark.parametrize("name", load_plan().stack.programs)
def test_helper_programs_match_the_catalogue(name: str) -> None:
    """Command and port are the declared ones, and the API reaches the program by its service."""
    program = load_plan().stack.programs[name]
    words = program.command.format(host="0.0.0.0", port=program.port).split()
    assert SERVICES[name]["command"] == words
    for setting, text in program.environment.items():
        expected = text.format(host=name, port=program.port)
        assert SERVICES["api"]["environment"][setting] == expected


def test_the_exporter_of_valkey_answers_in_time_while_valkey_hangs() -> None:
    """Else its scrape would fail, and TargetDown would page in the place of ValkeyDown."""
    path = ROOT / "observability" / "devstack" / "compose" / "prometheus.yaml"
    scraping = yaml.safe_load(path.read_text(encoding="utf-8"))["global"]
    environment = SERVICES["redis-exporter"]["environment"]
    timeout = environment.get("REDIS_EXPORTER_CONNECTION_TIMEOUT", "15s")
    assert parse_duration(timeout).seconds < parse_duration(scraping["scrape_timeout"]).seconds


def test_the_gateway_is_healthy_while_its_api_is_stopped() -> None:
    """`up` gives up at once on unhealthy services that others need; the API could not start."""
    gateway = SERVICES["gateway"]
    address = urlsplit(releases.GATEWAY_METRICS).netloc
    assert gateway["healthcheck"]["test"][-1] == releases.GATEWAY_METRICS
    assert address in gateway["environment"]["EVARA_GATEWAY_METRICS_BIND"].split(",")
