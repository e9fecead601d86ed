"""The audit of a real image, whose contents are listed in a container."""

import subprocess
from collections.abc import Iterator

import pytest

from observability.audit import images
from observability.audit.advisories import Advisories
from observability.audit.results import CouldNotTell
from observability.devstack import docker
from observability.devstack.images import BASE
from observability.devstack.layout import ROOT
from tests.osv_server import advisory, osv_server

RELEASE = "sed -i -e '/^VERSION_ID=/d' -e '$aVERSION_ID=13' /etc/os-release"
TESTING = "sed -i '/^VERSION_ID=/d' /etc/os-release"


@pytest.fixture(scope="module")
def base() -> str:
    """Return the base of the images; skip without an engine, or where it is not loaded."""
    available, reason = docker.find_engine()
    if not available:
        pytest.skip(f"no container here: {reason}")
    (name,) = set(BASE.findall((ROOT / "api" / "Dockerfile").read_text(encoding="utf-8")))
    if not docker.image_id(name):
        pytest.skip(f"the image {name} is not available")
    return str(name)


@pytest.fixture
def image(
    base: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Yield the only image to audit: the shipped base after a command."""
    name = "audited-image:test"
    subprocess.run(
        ["docker", "build", "--quiet", "--network=none", "--tag", name, "-"],
        input=f"FROM {base}\nRUN {request.param}\nUSER 10001:10001\n",
        capture_output=True,
        text=True,
        check=True,
    )
    monkeypatch.setattr(images, "built_images", lambda: [name])
    yield name
    subprocess.run(["docker", "rmi", "--force", name], capture_output=True, check=False)


@pytest.mark.parametrize("image", [RELEASE], indirect=True)
def test_the_contents_of_an_image_are_looked_up(image: str) -> None:
    """Its Debian packages by source and version, and its own Python; a planted hole is found."""
    with osv_server() as osv:
        assert images.check(ROOT, Advisories(osv.url)).verdict == "fine"
        version = {name: version for _, name, version in osv.queries if name in ("glibc", "python")}
        osv.advisories = [
            advisory("Debian:13", "glibc", version["glibc"], "DEBIAN-CVE-1", fixed="99"),
            advisory("Bitnami", "python", version["python"], "BIT-1", fixed="99.0.0"),
        ]
        result = images.check(ROOT, Advisories(osv.url))
    assert {finding.where for finding in result.findings} == {
        f"{image}: python {version['python']}",
        f"{image}: glibc {version['glibc']}",
    }


@pytest.mark.parametrize("image", [TESTING], indirect=True)
@pytest.mark.usefixtures("image")
def test_an_image_on_no_release_of_debian_cannot_tell() -> None:
    """There are no advisories for it, and nobody is asked."""
    with osv_server() as osv, pytest.raises(CouldNotTell, match="fix: name one in FROM"):
        images.check(ROOT, Advisories(osv.url))
    assert osv.queries == []
