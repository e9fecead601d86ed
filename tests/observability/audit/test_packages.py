"""The locked packages: which are looked up, and what is said of a vulnerable one."""

import pytest

from observability.audit import packages
from observability.audit.advisories import Advisories
from observability.audit.results import CouldNotTell
from observability.devstack.layout import ROOT
from tests.observability.audit.repository import Repository
from tests.osv_server import OsvServer, advisory


def test_a_planted_vulnerable_package_is_found(repository: Repository, osv: OsvServer) -> None:
    """With the locks that pin it; the other locked packages are fine."""
    repository.pin("requirements.txt", "Jinja2", "3.0.0")
    repository.pin("requirements-dev.txt", "jinja2", "3.0.0")
    assert packages.check(repository.root, Advisories(osv.url)).verdict == "fine"
    osv.advisories = [advisory("PyPI", "jinja2", "3.0.0", "PYSEC-1", "CVE-1", fixed="3.1")]
    result = packages.check(repository.root, Advisories(osv.url))
    first, second = result.findings
    assert result.verdict == "not fine"
    assert result.text == f"6 packages in {', '.join(packages.LOCKS)}"
    assert first.where == "requirements.txt: jinja2 3.0.0"
    assert second.where == "requirements-dev.txt: jinja2 3.0.0"
    assert first.message == "PYSEC-1 CVE-1: a hole in jinja2"
    assert "make lock" in first.fix


def test_pins_for_other_pythons_and_systems_are_looked_up(
    repository: Repository, osv: OsvServer
) -> None:
    """The image has another Python than the machine that runs the audit."""
    repository.pin("requirements.txt", "numpy", "2.4.6", "python_full_version < '3.12'")
    repository.pin("requirements.txt", "numpy", "2.5.5", "python_full_version >= '3.12'")
    repository.pin("requirements.txt", "colorama", "0.4.6", "sys_platform == 'win32'")
    packages.check(repository.root, Advisories(osv.url))
    assert {("PyPI", "numpy", "2.4.6"), ("PyPI", "numpy", "2.5.5")} < set(osv.queries)
    assert ("PyPI", "colorama", "0.4.6") in osv.queries


def test_every_pin_of_the_shipped_locks_is_read() -> None:
    """As many packages as there are lines with `==` at the start of a requirement."""
    for lock in packages.LOCKS:
        lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
        requirements = {line for line in lines if "==" in line.partition(";")[0] and line[0] != " "}
        assert len(packages.locked_packages(ROOT / lock)) == len(requirements) > 20


def test_a_lock_without_pins_cannot_tell(repository: Repository, osv: OsvServer) -> None:
    """An empty lock is not taken for one without vulnerabilities."""
    repository.write("api/requirements.txt", "# nothing\n")
    with pytest.raises(CouldNotTell, match=r"requirements.txt pins nothing; fix: make lock"):
        packages.check(repository.root, Advisories(osv.url))
