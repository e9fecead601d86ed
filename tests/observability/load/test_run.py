"""Runs of Locust: timeouts, and hosts that do not respond."""

import sys
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from observability.devstack import user_settings
from observability.devstack.layout import StackLayout, stack_ports
from observability.load import run
from tests.serving import serving

CLOSED = 1  # a port at which nothing listens


@pytest.fixture
def layout(tmp_path: Path) -> StackLayout:
    return StackLayout(tmp_path, stack_ports() | {"api": CLOSED}, tmp_path)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("http://127.0.0.1:1", "start it with: make up"),
        ("http://127.0.0.2:1", "is the address right?"),
        ("http://", "is the address right?"),
    ],
)
def test_an_unreachable_host_names_the_fix(layout: StackLayout, host: str, words: str) -> None:
    """`make up` starts only the stack's own API."""
    with pytest.raises(run.LoadRunFailed, match="nothing answers at") as caught:
        run.LoadProfile(1, 1, "1s", host).check(layout)
    assert str(caught.value).endswith(words)


@pytest.mark.parametrize(
    ("location", "origin"),
    [("https://api.example/login?a=b", "https://api.example"), ("/docs", "")],
)
def test_a_host_that_redirects_elsewhere_is_refused(
    layout: StackLayout, location: str, origin: str
) -> None:
    """Redirected requests lose their method and key; a redirect within the host is no matter."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(301)
            self.send_header("Location", location)
            self.end_headers()

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        profile = run.LoadProfile(1, 1, "1s", f"http://127.0.0.1:{server.server_port}")
        refusal = pytest.raises(run.LoadRunFailed, match=f"fix: HOST={origin}$")
        with refusal if origin else nullcontext():
            profile.check(layout)


def test_a_locust_that_overruns_its_time_is_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, layout: StackLayout
) -> None:
    """The error has its last lines of output."""
    script = "import time; print('still running', flush=True); time.sleep(60)"
    monkeypatch.setattr(run, "OVERTIME_SECONDS", 0.5)
    monkeypatch.setattr(run, "locust_command", lambda *_: [sys.executable, "-c", script])
    with pytest.raises(run.LoadRunFailed, match="without a verdict: still running"):
        run.run_locust(layout, run.LoadProfile(1, 1, "1s", "http://x"), tmp_path)


def test_settings_in_dotenv_reach_locust(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, layout: StackLayout
) -> None:
    """As those of the environment."""
    (tmp_path / ".env").write_text("EVARA_LOAD_TIMEOUT=3\n", encoding="utf-8")
    monkeypatch.setattr(user_settings, "ROOT", tmp_path)
    script = "import os; print(os.environ['EVARA_LOAD_TIMEOUT'])"
    monkeypatch.setattr(run, "locust_command", lambda *_: [sys.executable, "-c", script])
    with pytest.raises(run.LoadRunFailed, match=r"without a verdict: 3$"):
        run.run_locust(layout, run.LoadProfile(1, 1, "1s", "http://x"), tmp_path)
