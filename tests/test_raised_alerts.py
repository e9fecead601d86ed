"""The marker `raises_alert` fails a test that does not raise its alerts."""

import subprocess
import sys
from pathlib import Path

import pytest

from observability.devstack.layout import ROOT

TESTS = """
import pytest

class Server:
    def __init__(self, *alerts):
        self._alerts = alerts

    def alerts(self):
        return [{"labels": {"alertname": name}, "state": state} for name, state in self._alerts]

"""
RAISING = """
@pytest.mark.raises_alert("Down")
def test_outage(raised_alerts):
    assert raised_alerts.are_firing(Server(("Down", "firing"), ("Other", "pending")), "Down")
    assert not raised_alerts.are_firing(Server(), "Down")
"""


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (RAISING, "1 passed"),
        ('@pytest.mark.raises_alert("Down")\ndef test_outage(): pass', "as firing: Down"),
        (
            '@pytest.mark.raises_alert("Down")\ndef test_outage(raised_alerts): pass',
            "as firing: Down",
        ),
        (RAISING.replace('"Down")\ndef', '"Down", "Other")\ndef'), "as firing: Other"),
        ("def test_outage(): pass", "1 passed"),
        ("def test_outage(): pytest.skip('later')", "1 skipped"),
        (f"{RAISING}    pytest.skip('later')", "has to raise Down"),
        (f"@pytest.mark.skip(reason='later'){RAISING}", "has to raise Down"),
        (
            f"@pytest.mark.parametrize('a', []){RAISING.replace('(raised', '(a, raised')}",
            "has to raise",
        ),
        (f"@pytest.mark.xfail(reason='later'){RAISING}    assert False", "has to raise Down"),
        (
            "@pytest.fixture\ndef server(): pytest.skip('later')\n"
            f"@pytest.mark.usefixtures('server'){RAISING}",
            "has to raise Down",
        ),
        (
            "import unittest\nclass TestOutage(unittest.TestCase):\n"
            "    @pytest.mark.raises_alert('Down')\n    def test_outage(self): pass",
            "as firing: Down",
        ),
    ],
)
def test_marked_test_fails_without_its_alerts(tmp_path: Path, text: str, outcome: str) -> None:
    """Firing counts, pending does not; tests without the marker are left alone."""
    path = tmp_path / "test_marked.py"
    path.write_text(TESTS + text, encoding="utf-8")
    plugins = ["-p", "no:cacheprovider", "-p", "tests.raised_alerts"]
    command = [sys.executable, "-m", "pytest", *plugins, "-c", "/dev/null", str(path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert outcome in result.stdout
    assert (result.returncode == 0) == outcome.startswith("1 ")
