"""The locked Python packages, and their known vulnerabilities."""

import re
from pathlib import Path

from observability.audit.advisories import PYPI, Advisories, Package
from observability.audit.results import CouldNotTell, Result

CHECK = "packages"
LOCKS = (
    "requirements.txt",
    "api/requirements.txt",
    "requirements-dev.txt",
    "requirements-audit.txt",
)
PIN = re.compile(r"^([\w.-]+)(?:\[[^]]*\])?==([^\s;\\]+)", re.MULTILINE)
FIX = (
    "make lock; if no release fixes it, replace the package, "
    "or accept it in observability/audit.yaml"
)


def check(root: Path, advisories: Advisories) -> Result:
    """Look up every pin of every lock, whichever Python or system its marker is for."""
    packages_by_lock = {lock: locked_packages(root / lock) for lock in LOCKS}
    return advisories.check(CHECK, packages_by_lock, FIX)


def locked_packages(lock: Path) -> set[Package]:
    """Return the pins of a lock; raise CouldNotTell when it has none."""
    pins = PIN.findall(lock.read_text(encoding="utf-8"))
    if not pins:
        raise CouldNotTell(f"{lock} pins nothing; fix: make lock")
    return {pypi_package(name, version) for name, version in pins}


def pypi_package(name: str, version: str) -> Package:
    """Return a package of PyPI, with its name as PyPI compares it (PEP 503)."""
    return Package(PYPI, re.sub(r"[-_.]+", "-", name).lower(), version)
