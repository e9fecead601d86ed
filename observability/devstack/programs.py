"""The programs of the native stack, read from native.yaml.

`up` runs them under supervisor; drills start them without it.
"""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from observability.devstack.binaries import Server
from observability.devstack.layout import DEVELOPMENT_KEY, HOST, PORTS, ROOT, StackLayout
from observability.devstack.user_settings import user_settings
from observability.generate import fluentbit, loki
from observability.lib.json_object import Json
from observability.spec import host_names
from observability.spec.plan import Plan
from observability.spec.quantities import format_duration

HELPER_PRIORITY = 10
NATIVE_YAML = Path(__file__).with_name("native.yaml")
API_FOLDERS = ("api", "observability")  # whose files the API's processes load


@dataclass(frozen=True)
class Program:
    """One supervised process. Lower priorities start first and stop last."""

    name: str
    command: Sequence[str]
    priority: int
    environment: dict[str, str] = field(default_factory=dict)
    reloads: bool = False  # on SIGHUP it reads its environment again, from a file


def programs(
    layout: StackLayout, plan: Plan, servers: dict[str, Server], *, drill: bool = False
) -> list[Program]:
    """Return the helper programs, then those of native.yaml whose server is installed."""
    executables = servers | {"python": Server(Path(sys.executable))}
    values = layout_values(layout) | plan_values(plan)
    result = list(helper_programs(layout, plan, drill=drill))
    for name, entry in read_native_yaml()["programs"].items():
        executable, *arguments = entry["command"].split()
        if executable not in executables:
            continue
        command = executables[executable].command(*[word.format(**values) for word in arguments])
        environment = fill_in(entry.get("environment", {}), values)
        if entry.get("is_api"):
            settings = api_environment(layout, drill=drill) | helper_environment(layout, plan)
            if drill and plan.drill_route:
                settings |= plan.drill_route.environment
            environment = settings | environment
        reloads = entry.get("reloads", False)
        result.append(Program(name, command, entry["priority"], environment, reloads))
    return result


def helper_programs(layout: StackLayout, plan: Plan, *, drill: bool) -> Iterator[Program]:
    """Yield the catalogue's helper programs; each restarts when its package has changed."""
    for name, entry in plan.stack.programs.items():
        text = entry.command
        if drill:
            text += f" {entry.drill_arguments}"
        _, *arguments = text.format(**helper_values(layout, name)).split()  # python -m MODULE …
        package, _, _ = arguments[1].partition(".")
        environment = {
            "EVARA_RELEASE": source_digest(package),
            host_names.SETTING: user_settings().get(host_names.SETTING, ""),
        }
        yield Program(name, [sys.executable, *arguments], HELPER_PRIORITY, environment)


def helper_environment(layout: StackLayout, plan: Plan) -> dict[str, str]:
    """Return the settings with which the API finds the helper programs."""
    environment: dict[str, str] = {}
    for name, entry in plan.stack.programs.items():
        environment |= fill_in(entry.environment, helper_values(layout, name))
    return environment


def helper_values(layout: StackLayout, name: str) -> Json:
    """Return the values for the braces in a helper program's command and environment."""
    return {"host": HOST, "port": layout.ports[name]}


def read_native_yaml() -> Json:
    return dict(yaml.safe_load(NATIVE_YAML.read_text(encoding="utf-8")))


def fill_in(templates: dict[str, str], values: Json) -> dict[str, str]:
    """Return the environment with its fields in braces replaced."""
    return {name: template.format(**values) for name, template in templates.items()}


def layout_values(layout: StackLayout) -> Json:
    """Return the fields that depend on the stack alone."""
    return {
        "layout": layout,
        "ports": layout.ports,
        "urls": {name: layout.address(name) for name in layout.ports},
        "port_offset": layout.ports["api"] - PORTS["api"],
        "host": HOST,
        "development_key": development_key(),
        "drill_key": DEVELOPMENT_KEY,
        "prober_key": layout.key("prober"),
        "trusted_hosts": layout.trusted_hosts,
    }


def development_key() -> str:
    """Return the admin key of the native stack: the user's, by default the well-known one."""
    return user_settings().get("EVARA_DEVELOPMENT_KEY", DEVELOPMENT_KEY)


def plan_values(plan: Plan) -> Json:
    """Return the fields that depend on the catalogue or on the code."""
    log_configs = loki.render(plan)[loki.CONFIG] + fluentbit.render(plan)[fluentbit.NATIVE]
    releases = {
        "api": source_digest(*API_FOLDERS),
        "observability": source_digest("observability"),
        "logs": digest(log_configs.encode()),
    }
    return {
        "release": releases,
        "probe_every": format_duration(plan.probe_every),
        "retention": format_duration(plan.retention),
    }


def api_environment(layout: StackLayout, *, drill: bool = False) -> dict[str, str]:
    """Return the settings of the API's processes.

    `up` adds the user's settings that native.yaml lists; a drill adds its own.
    """
    native = read_native_yaml()
    environment = fill_in(native["api_environment"], layout_values(layout))
    if drill:
        return environment | fill_in(native["drill_environment"], layout_values(layout))
    given = user_settings()
    return environment | {name: given[name] for name in native["user_settings"] if name in given}


def source_digest(*folders: str) -> str:
    """Return a digest of the files that a process loads from these folders when it starts."""
    sources = []
    for folder in folders:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".yaml", ".html"} and "generated" not in path.parts:
                sources.append(path)
    return digest(b"".join(path.read_bytes() for path in sorted(sources)))


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
