"""Certificates of the gateway that are refused before anything starts, and why."""

import subprocess
from pathlib import Path

import pytest

from observability.devstack.certificates import find_problems


def create(path: Path, days: int = 2) -> tuple[str, str]:
    """Write a PEM file with certificate and key, and return both texts."""
    request = ["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    sign = ["openssl", "x509", "-req", "-days", str(days), "-signkey", str(path)]
    requested = subprocess.run([*request, "-keyout", str(path)], check=True, capture_output=True)
    key = path.read_text()
    signed = subprocess.run(sign, check=True, capture_output=True, input=requested.stdout)
    certificate = signed.stdout.decode()
    path.write_text(certificate + key)
    return certificate, key


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    return tmp_path / "site.pem"


def test_a_certificate_with_its_key_is_accepted(pem: Path) -> None:
    """Whoever issued it; files that HAProxy reads beside it are not tested."""
    create(pem)
    pem.with_name("site.pem.ocsp").write_text("a response")
    pem.with_name(".hidden").write_text("of an editor")
    assert list(find_problems(pem.parent)) == []


def test_an_expired_certificate_is_refused(pem: Path) -> None:
    """Clients would refuse it."""
    create(pem, days=-1)
    [problem] = find_problems(pem.parent)
    assert problem == f"{pem} cannot be used for https: certificate has expired"


def test_a_certificate_without_its_key_is_refused(pem: Path) -> None:
    """The key is missing, is that of another certificate, or needs a password."""
    certificate, key = create(pem)
    other, _ = create(pem)
    for text, reason in (
        (certificate, "it has no private key"),
        (key, "it has no certificate"),
        (other + key, "OpenSSL says KEY_VALUES_MISMATCH"),
        (certificate.replace("M", "N") + key, "OpenSSL says"),
        ("", "it has no certificate"),
    ):
        pem.write_text(text)
        [problem] = find_problems(pem.parent)
        assert reason in problem
    pem.write_text(key)
    encrypt = ["openssl", "pkey", "-in", str(pem), "-aes256", "-passout", "pass:word"]
    locked = subprocess.run(encrypt, check=True, capture_output=True, text=True).stdout
    pem.write_text(certificate + locked)
    [problem] = find_problems(pem.parent)
    assert "OpenSSL says" in problem
