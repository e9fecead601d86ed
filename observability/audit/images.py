"""The images that are built here: what they contain, and its known vulnerabilities."""

import json
from pathlib import Path

from observability.audit.advisories import CPYTHON, DEBIAN, Advisories, Package
from observability.audit.packages import pypi_package
from observability.audit.results import CouldNotTell, Result
from observability.devstack import docker
from observability.devstack.layout import StackLayout
from observability.devstack.mounted_files import compose_config
from observability.devstack.steps import StackError

CHECK = "image"
# Runs in the image, with its own Python.
LIST_CONTENTS = """
import json, platform, subprocess
from importlib.metadata import distributions

query = ["dpkg-query", "--show", "--showformat", "${source:Package} ${source:Version}\\n"]
listed = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()
print(json.dumps({
    "system": platform.freedesktop_os_release(),
    "python": platform.python_version(),
    "debian": [line.split() for line in listed],
    "packages": [[item.metadata["Name"], item.version] for item in distributions()],
}))
"""
ISOLATED = ("--rm", "--pull=never", "--network=none", "--read-only", "--cap-drop=ALL")
FIX = (
    "take a newer base image in api/Dockerfile and build again; "
    "else accept it in observability/audit.yaml"
)
BUILD = "fix: start Docker, then make up MODE=compose"


def check(_: Path, advisories: Advisories) -> Result:
    """Look up what the images contain."""
    packages_by_image = {image: packages_in(image) for image in built_images()}
    return advisories.check(CHECK, packages_by_image, FIX)


def built_images() -> list[str]:
    """Return the names of the images that compose.yaml builds; raise CouldNotTell."""
    try:
        services = compose_config(StackLayout.main())["services"].values()
    except StackError as error:
        raise CouldNotTell(f"{error}; {BUILD}") from error
    return sorted({service["image"] for service in services if "build" in service})


def packages_in(image: str) -> set[Package]:
    """Return an image's Debian and Python packages and its CPython; raise CouldNotTell."""
    words = ("--entrypoint=python", image, "-c", LIST_CONTENTS)
    result = docker.run_docker("run", *ISOLATED, *words)
    if result.returncode:
        raise CouldNotTell(f"{image} cannot be listed: {result.stderr.strip()}; {BUILD}")
    contents = json.loads(result.stdout)
    system = contents["system"]
    if system["ID"] != "debian" or "VERSION_ID" not in system:
        raise CouldNotTell(
            f"{image} is built on {system['PRETTY_NAME']}, but there are advisories for"
            " releases of Debian alone; fix: name one in FROM of api/Dockerfile"
        )
    ecosystem = f"{DEBIAN}:{system['VERSION_ID']}"
    return {
        Package(CPYTHON, "python", contents["python"]),
        *(Package(ecosystem, *package) for package in contents["debian"]),
        *(pypi_package(*package) for package in contents["packages"]),
    }
