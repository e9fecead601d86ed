"""A server of advisories, a repository, and a token to hide in it."""

import secrets
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.observability.audit.repository import Repository
from tests.osv_server import OsvServer, osv_server


@pytest.fixture
def osv() -> Iterator[OsvServer]:
    """Yield a server that knows no advisory, except of releases that everybody knows."""
    with osv_server() as server:
        yield server


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Return a repository without findings."""
    return Repository(tmp_path)


@pytest.fixture
def token() -> str:
    """Return a token that looks like one of GitHub; made here, so that this file has none."""
    letters = string.ascii_letters + string.digits
    return "ghp" + "_" + "".join(secrets.choice(letters) for _ in range(36))
