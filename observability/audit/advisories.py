"""Known vulnerabilities of packages, from a server with the API of OSV.

https://google.github.io/osv.dev/post-v1-query/ describes the API.
"""

from collections.abc import Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from observability.audit.results import CouldNotTell, Finding, Result, judge
from observability.lib.http import TIMEOUT, tls_context
from observability.lib.json_object import Json

URL = "https://api.osv.dev"
CONNECTIONS = 8
PYPI, DEBIAN, CPYTHON = "PyPI", "Debian", "Bitnami"  # ecosystems; OSV has CPython under Bitnami


@dataclass(frozen=True, order=True)
class Package:
    """A release of a package; `ecosystem` has the distribution's version, as in `Debian:13`."""

    ecosystem: str
    name: str
    version: str


# Releases with many vulnerabilities. A server that knows none of theirs knows nothing.
VULNERABLE = {
    PYPI: ("jinja2", "2.4.1"),
    DEBIAN: ("openssl", "1.0.1e-2"),
    CPYTHON: ("python", "3.8.0"),
}


class Advisories:
    """A client of one server; its methods raise CouldNotTell when the server cannot tell."""

    def __init__(self, url: str):
        self.url = url.rstrip("/")
        self._http = httpx.Client(timeout=TIMEOUT, verify=tls_context())

    def check(self, check: str, packages_by_place: dict[str, set[Package]], fix: str) -> Result:
        """Return a finding for each advisory on each package."""
        findings = []
        for place, packages in packages_by_place.items():
            for package, advisory in self._find(packages):
                where = f"{place}: {package.name} {package.version}"
                ids = (advisory["id"], *advisory.get("aliases", ()))
                message = f"{' '.join(ids)}: {advisory.get('summary', 'a known vulnerability')}"
                findings.append(Finding(where, message, fix, check, ids))
        count = sum(map(len, packages_by_place.values()))
        return judge(check, f"{count} packages in {', '.join(packages_by_place)}", findings)

    def _find(self, packages: Set[Package]) -> Iterator[tuple[Package, Json]]:
        for ecosystem in sorted({package.ecosystem for package in packages}):
            name, version = VULNERABLE[ecosystem.partition(":")[0]]
            if not self._list(Package(ecosystem, name, version)):
                raise CouldNotTell(
                    f"{self.url} knows no vulnerability of {name} {version} ({ecosystem}), which"
                    " has many, so it cannot tell about others; fix: name another server: --osv URL"
                )
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            for package, advisories in zip(packages, pool.map(self._list, packages), strict=True):
                yield from ((package, advisory) for advisory in advisories)

    def _list(self, package: Package) -> list[Json]:
        """Return the advisories on all pages of an answer."""
        described = {"ecosystem": package.ecosystem, "name": package.name}
        query: Json = {"package": described, "version": package.version}
        listed = []
        while True:
            answer = self._post(query)
            listed += answer.get("vulns", [])
            query["page_token"] = answer.get("next_page_token")
            if not query["page_token"]:
                return [advisory for advisory in listed if is_open(package, advisory)]

    def _post(self, query: Json) -> Json:
        try:
            response = self._http.post(f"{self.url}/v1/query", json=query)
            response.raise_for_status()
            return dict(response.json())
        except (httpx.HTTPError, ValueError, TypeError) as error:
            raise CouldNotTell(
                f"the advisories at {self.url} cannot be read ({error}); fix: let this machine"
                " connect to it, or name another server: --osv URL"
            ) from error


def is_open(package: Package, advisory: Json) -> bool:
    """Tell whether something can be done about an advisory, which may be withdrawn.

    Debian also lists what it has not fixed; no new build of an image can remove that.
    """
    if "withdrawn" in advisory or DEBIAN not in package.ecosystem:
        return "withdrawn" not in advisory
    return any(
        "fixed" in event
        for affected in advisory["affected"]
        if affected["package"]["ecosystem"] == package.ecosystem
        for versions in affected.get("ranges", ())
        for event in versions["events"]
    )
