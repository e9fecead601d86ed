"""The settings of the compose stack, which `make up` writes to a file that compose.yaml names."""

import os
import re
from pathlib import Path

import yaml
from dotenv import dotenv_values

from observability.devstack.layout import COMPOSE, PORTS, ROOT, StackLayout, secrets_folder
from observability.devstack.private_files import write_private
from observability.devstack.user_settings import user_settings

USER = 10001  # of the containers when root starts them
CERTIFICATES = "certificates"  # folder below the secrets: PEM files, each a certificate and its key
PREFIX = "MAKE_UP_"  # of the variables in compose.services.yaml; settings of the user have EVARA_
VARIABLE = re.compile(r"\$\{" + PREFIX + r"(\w+)")
OPTIONAL = re.compile(r"\$\{(" + PREFIX + r"\w+):-")  # with a default
SERVICES = ROOT / "compose.services.yaml"
ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "$": r"\$", "\n": r"\n", "\r": r"\r"})


def settings_file(layout: StackLayout) -> Path:
    """Return the file whose variables Compose reads for every command on the stack.

    Its folder is named for the project, so that the name of one stack and the EVARA_STACK_DIR of
    another are refused instead of mixed.
    """
    return layout.state / COMPOSE / project_name() / ".env"


def files_folder(layout: StackLayout) -> Path:
    """Return the folder of the files that containers mount, at the same path in every release."""
    return settings_file(layout).with_name("files")


def project_name() -> str:
    """Return the name of the stack for Compose: COMPOSE_PROJECT_NAME, or that of compose.yaml."""
    given = user_settings().get("COMPOSE_PROJECT_NAME")
    if given:
        return given
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    return str(yaml.safe_load(text)["name"])


def write_settings(layout: StackLayout) -> None:
    """Write the settings of the stack to a file that only its owner may read."""
    lines = ["# Written by `make up`, which replaces every change."]
    for name, value in sorted(stack_settings(layout).items()):
        lines.append(f'{name}="{value.translate(ESCAPES)}"')
    path = settings_file(layout)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, "\n".join(lines) + "\n")


def missing_settings(layout: StackLayout) -> dict[str, str]:
    """Return the variables that the services require and the file of settings lacks.

    All of them before the first `up`; those that are new in a release until its `up`.
    """
    known = set(dotenv_values(settings_file(layout)))
    if known:
        known.update(OPTIONAL.findall(SERVICES.read_text(encoding="utf-8")))
    return {name: value for name, value in stack_settings(layout).items() if name not in known}


def stack_settings(layout: StackLayout) -> dict[str, str]:
    """Return the variables of compose.services.yaml: those that `up` computes, and the user's.

    A user or group that is already set wins: a rootless engine may need another one.
    """
    given = user_settings()
    user, group = os.getuid(), os.getgid()
    if user == 0:
        user, group = USER, USER
    values = {"UID": str(user), "GID": str(group)}
    for name in VARIABLE.findall(SERVICES.read_text(encoding="utf-8")):
        if f"EVARA_{name}" in given:
            values[name] = given[f"EVARA_{name}"]
    for name, port in layout.ports.items():
        values[f"PORT_{name.upper()}"] = str(port)
        values[f"URL_{name.upper()}"] = layout.address(name)
    values["PUBLIC_URL"] = layout.public
    values["TRUSTED_HOSTS"] = layout.trusted_hosts
    values["PORT_OFFSET"] = str(layout.ports["api"] - PORTS["api"])
    values["PROJECT"] = project_name()
    values["ROOT"] = str(ROOT)
    values["SECRETS_DIR"] = str(secrets_folder())
    values["FILES"] = str(files_folder(layout))
    values["GATEWAY_CERTIFICATES"] = ""
    if any((secrets_folder() / CERTIFICATES).glob("*.pem")):
        values["GATEWAY_CERTIFICATES"] = "/certificates"
    return {PREFIX + name: value for name, value in values.items()}
