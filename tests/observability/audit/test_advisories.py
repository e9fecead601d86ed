"""The client of OSV: what counts as a vulnerability, and when it cannot tell."""

import pytest

from observability.audit.advisories import Advisories, Package
from observability.audit.results import CouldNotTell, Finding
from tests.osv_server import OsvServer, advisory
from tests.serving import free_port

FLASK = Package("PyPI", "flask", "0.1")


def find(osv: OsvServer, *packages: Package) -> list[Finding]:
    """Return the findings about packages that are all at one place."""
    result = Advisories(osv.url + "/").check("packages", {"here": set(packages)}, "raise it")
    assert result.text == f"{len(packages)} packages in here"
    return list(result.findings)


def test_each_advisory_is_a_finding(osv: OsvServer) -> None:
    """Of all pages, with aliases and summary; withdrawn advisories are left out."""
    osv.advisories = [
        advisory("PyPI", "flask", "0.1", "PYSEC-1", "CVE-1", fixed="1.0"),
        advisory("PyPI", "flask", "0.1", "PYSEC-2", withdrawn="2026-01-01T00:00:00Z"),
        advisory("PyPI", "flask", "0.1", "PYSEC-3"),
        advisory("PyPI", "flask", "0.2", "PYSEC-4"),
    ]
    first, third = find(osv, FLASK, Package("PyPI", "flask", "1.0"))
    assert (first.where, first.fix) == ("here: flask 0.1", "raise it")
    assert (first.ids, first.message) == (("PYSEC-1", "CVE-1"), "PYSEC-1 CVE-1: a hole in flask")
    assert third.ids == ("PYSEC-3",)


def test_what_debian_has_not_fixed_is_no_finding(osv: OsvServer) -> None:
    """A fix in another release of Debian is none; other packages can be replaced."""
    curl = Package("Debian:13", "curl", "8.14-2")
    unfixed = advisory("Debian:13", "curl", "8.14-2", "DEBIAN-CVE-1")
    unfixed["affected"] += advisory("Debian:12", "curl", "7", "x", fixed="8")["affected"]
    fixed = advisory("Debian:13", "curl", "8.14-2", "DEBIAN-CVE-2", fixed="8.14-3")
    withdrawn = advisory("Debian:13", "curl", "8.14-2", "x", fixed="8", withdrawn="2026-01-01")
    osv.advisories = [unfixed, fixed, withdrawn]
    assert [finding.ids for finding in find(osv, curl)] == [("DEBIAN-CVE-2",)]


@pytest.mark.parametrize("ecosystem", ["PyPI", "Debian:13", "Bitnami"])
def test_a_server_that_knows_nothing_cannot_tell(osv: OsvServer, ecosystem: str) -> None:
    """It answers every query with no vulnerability, as a mirror or a proxy may do."""
    osv.knows_nothing = True
    with pytest.raises(CouldNotTell, match=r"knows no vulnerability of .*fix: .*--osv URL"):
        find(osv, Package(ecosystem, "flask", "3.1"))


@pytest.mark.parametrize(("status", "raw"), [(500, b"{}"), (200, b"<html>"), (200, b"[1]")])
def test_an_answer_that_is_none_cannot_tell(osv: OsvServer, status: int, raw: bytes) -> None:
    """An error, a page of a proxy or another document is not taken for «no vulnerability»."""
    osv.status, osv.raw = status, raw
    with pytest.raises(CouldNotTell, match=r"(?s)cannot be read .*fix: .*--osv URL"):
        find(osv, FLASK)


def test_an_unreachable_server_cannot_tell() -> None:
    """Nobody listens."""
    with pytest.raises(CouldNotTell, match="cannot be read"):
        Advisories(f"http://127.0.0.1:{free_port()}").check("x", {"here": {FLASK}}, "")
