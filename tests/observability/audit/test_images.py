"""The built images: what is looked up, what is a finding, and when nothing can be told."""

import json
from typing import Any

import pytest

from observability.audit import images
from observability.audit.advisories import Advisories
from observability.audit.results import CouldNotTell
from observability.devstack import docker
from observability.devstack.layout import ROOT
from observability.devstack.steps import StackError
from tests.osv_server import OsvServer, advisory

CONTENTS = {
    "system": {"ID": "debian", "VERSION_ID": "13", "PRETTY_NAME": "Debian 13"},
    "python": "3.14.8",
    "debian": [["openssl", "3.5.1-1"], ["bash", "5.2-1"], ["bash", "5.2-1"]],
    "packages": [["Flask_Limiter", "4.1"]],
}


@pytest.fixture
def contents(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what both images contain."""
    contents: dict[str, Any] = dict(CONTENTS)

    def run_docker(*_: str) -> docker.CompletedProcess:
        return docker.CompletedProcess([], 0, json.dumps(contents), "")

    monkeypatch.setattr(docker, "run_docker", run_docker)
    monkeypatch.setattr(images, "built_images", lambda: ["evara-api:dev", "evara-tools:dev"])
    return contents


@pytest.mark.usefixtures("contents")
def test_everything_in_an_image_is_looked_up(osv: OsvServer) -> None:
    """Debian's source packages, Python packages, and the Python that is no package."""
    result = images.check(ROOT, Advisories(osv.url))
    assert (result.verdict, result.text) == (
        "fine",
        "8 packages in evara-api:dev, evara-tools:dev",
    )
    assert {
        ("Debian:13", "openssl", "3.5.1-1"),
        ("Debian:13", "bash", "5.2-1"),
        ("PyPI", "flask-limiter", "4.1"),
        ("Bitnami", "python", "3.14.8"),
    } < set(osv.queries)


@pytest.mark.usefixtures("contents")
def test_a_hole_in_an_image_is_found(osv: OsvServer) -> None:
    """In each image that has the package."""
    osv.advisories = [advisory("Bitnami", "python", "3.14.8", "BIT-1", "CVE-3", fixed="3.14.9")]
    findings = images.check(ROOT, Advisories(osv.url)).findings
    assert [finding.where for finding in findings] == [
        "evara-api:dev: python 3.14.8",
        "evara-tools:dev: python 3.14.8",
    ]
    assert "api/Dockerfile" in findings[0].fix


@pytest.mark.parametrize(
    "system",
    [
        {"ID": "debian", "PRETTY_NAME": "Debian forky/sid"},
        {"ID": "alpine", "VERSION_ID": "3.24", "PRETTY_NAME": "Alpine"},
    ],
)
def test_a_system_without_advisories_cannot_tell(
    contents: dict[str, Any], osv: OsvServer, system: dict[str, str]
) -> None:
    """Its packages would all seem to be fine."""
    contents["system"] = system
    with pytest.raises(CouldNotTell, match="fix: name one in FROM of api/Dockerfile"):
        images.check(ROOT, Advisories(osv.url))


def test_without_an_engine_nothing_can_be_told(
    monkeypatch: pytest.MonkeyPatch, osv: OsvServer
) -> None:
    """The reason is that of Compose, or of the engine; also when there is no image."""

    def refuse(_: object) -> None:
        raise StackError("docker compose rejects compose.yaml")

    monkeypatch.setattr(images, "compose_config", refuse)
    with pytest.raises(CouldNotTell, match=r"rejects compose.yaml; fix: start"):
        images.check(ROOT, Advisories(osv.url))
    services = {"api": {"image": "evara-api:2", "build": {}}, "postgres": {"image": "postgres:18"}}
    monkeypatch.setattr(images, "compose_config", lambda _: {"services": services})
    failed = docker.CompletedProcess([], 125, "", "docker: No such image: evara-api:2\n")
    monkeypatch.setattr(docker, "run_docker", lambda *_: failed)
    reason = "evara-api:2 cannot be listed: docker: No such image: evara-api:2; fix: start Docker"
    with pytest.raises(CouldNotTell, match=reason):
        images.check(ROOT, Advisories(osv.url))
