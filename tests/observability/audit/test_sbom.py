"""The bills of materials: valid CycloneDX that lists every locked package."""

import json
from pathlib import Path

import pytest

from observability.audit import sbom
from observability.audit.advisories import Advisories
from observability.audit.packages import LOCKS, locked_packages, pypi_package
from observability.audit.results import CouldNotTell, run_tool
from observability.devstack.layout import ROOT
from tests.observability.audit.repository import Repository

NAMES = (
    "requirements",
    "api-requirements",
    "requirements-dev",
    "requirements-audit",
)  # of the files, in order of LOCKS


VALIDATE = """
import sys
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation import make_schemabased_validator

print(make_schemabased_validator(OutputFormat.JSON, SchemaVersion.V1_6).validate_str(sys.argv[1]))
"""


def is_valid(root: Path, text: str) -> bool:
    """Return whether CycloneDX's own schema accepts the document."""
    return run_tool(root, "python", "-c", VALIDATE, text) == "None\n"


def document(root: Path, name: str) -> Path:
    """Return the path of a bill of materials."""
    return root / sbom.FOLDER / f"{name}.cdx.json"


def test_every_shipped_lock_is_listed(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name and version, with the hashes that the lock has."""
    monkeypatch.setattr(sbom, "OPTIONS", ("--no-validate",))  # which the next test is about
    for name in LOCKS:
        repository.write(name, (ROOT / name).read_text(encoding="utf-8"))
    assert sbom.check(repository.root, Advisories("")).verdict == "fine"
    for name, lock in zip(NAMES, LOCKS, strict=True):
        path = document(repository.root, name)
        components = json.loads(path.read_text(encoding="utf-8"))["components"]
        listed = {pypi_package(component["name"], component["version"]) for component in components}
        assert listed == locked_packages(ROOT / lock)
        for component in components:
            assert component["purl"].startswith("pkg:pypi/")
            assert component["externalReferences"][0]["hashes"]


def test_documents_are_valid_and_reproducible(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As CycloneDX's own schema says; no time and no random number is in them."""
    monkeypatch.setattr(sbom, "LOCKS", LOCKS[:1])
    texts = []
    for _ in range(2):
        sbom.check(repository.root, Advisories(""))
        texts.append(document(repository.root, "requirements").read_text(encoding="utf-8"))
    assert texts[0] == texts[1]
    assert json.loads(texts[0])["metadata"]["component"]["name"] == "audited"
    assert is_valid(repository.root, texts[0])
    assert not is_valid(repository.root, texts[0].replace('"name"', '"nom"'))


def test_a_lock_that_cannot_be_read_cannot_tell(repository: Repository) -> None:
    """The tool's reason is repeated."""
    (repository.root / "requirements.txt").unlink()
    with pytest.raises(CouldNotTell, match=r"(?s)cyclonedx-py failed: .+; fix"):
        sbom.check(repository.root, Advisories(""))
