"""Security headers, CORS, trusted hosts and methods; no response names the software."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import stamina
from flask.testing import FlaskClient
from pydantic import ValidationError

from api.platform.config import PlatformSettings
from api.platform.http import security_headers
from api.platform.state import app_state
from observability.lib.bound_process import bind
from observability.spec import names
from tests.api.conftest import MakeApp
from tests.api.platform.helpers import ORDER, ORDERS, bearer, is_problem, label_values
from tests.api.platform.other_app import orders

ROOT = Path(__file__).resolve().parents[4]
PAGE = "https://app.example.org"
STACK = re.compile(
    r"werkzeug|flask|gunicorn|python|traceback|sqlalchemy|sqlite|marshmallow|/site-packages|\.py\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize(
    "path", [ORDERS, f"{ORDERS}/nobody", "/nothing", "/health/live", "/openapi.json"]
)
def test_every_response_forbids_scripts_frames_and_caching(client: FlaskClient, path: str) -> None:
    """Errors, too."""
    headers = client.get(path).headers
    assert {key: headers[key] for key in security_headers.HEADERS} == security_headers.HEADERS
    assert headers["Cache-Control"] == "no-store"
    assert not re.search(r"unsafe-inline|unsafe-eval|\*", headers["Content-Security-Policy"])
    assert "X-Powered-By" not in headers


def test_docs_files_have_their_own_policy(client: FlaskClient) -> None:
    """Caches may store them for an hour; the policy forbids inline code."""
    headers = client.get("/docs/start.js").headers
    assert "max-age=3600" in headers["Cache-Control"]
    assert "no-store" not in headers["Cache-Control"]
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("hops", "url", "proto", "expected"),
    [
        (0, "http://localhost", None, False),
        (0, "https://localhost", None, True),
        (0, "http://localhost", "https", False),
        (1, "http://localhost", "https", True),
        (1, "http://localhost", "https, http", False),
        (2, "http://localhost", "https", False),
    ],
)
@pytest.mark.usefixtures("migrated")
def test_hsts_is_sent_only_over_tls(
    make_app: MakeApp, hops: int, url: str, proto: str | None, expected: bool
) -> None:
    """As the declared proxies report it."""
    headers = {"X-Forwarded-Proto": proto} if proto else {}
    client = make_app(proxy_hops=hops).test_client()
    answer = client.get("/health/live", base_url=url, headers=headers)
    assert (answer.headers.get("Strict-Transport-Security") == security_headers.HSTS) is expected


@pytest.mark.usefixtures("migrated")
def test_cors_is_off_by_default(make_app: MakeApp) -> None:
    """No page of another origin can read a response."""
    client = make_app().test_client()
    for answer in (client.get(ORDERS, headers={"Origin": PAGE}), preflight(client, PAGE)):
        assert not [key for key, _ in answer.headers if key.startswith("Access-Control")]


def preflight(client: FlaskClient, origin: str, path: str = f"{ORDERS}/") -> object:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    return client.options(path, headers=headers)


@pytest.mark.usefixtures("migrated")
def test_declared_origins_can_call(make_app: MakeApp) -> None:
    """The preflight lists methods and headers; responses expose headers; no cookie is used."""
    client = make_app(cors_origins=f"{PAGE}, http://localhost:5173").test_client()
    answer = preflight(client, PAGE)
    assert (answer.status_code, answer.data) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert {"GET", "POST"} <= set(answer.headers["Access-Control-Allow-Methods"].split(", "))
    assert answer.headers["Access-Control-Allow-Headers"] == "content-type"
    assert int(answer.headers["Access-Control-Max-Age"]) > 0
    for answer in (
        client.get(ORDERS, headers={"Origin": PAGE}),
        client.get("/nothing", headers={"Origin": PAGE}),
    ):
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
        documented = app_state(client.application).document["components"]["headers"]
        assert documented.keys() | {"Deprecation", "Link", "Sunset"} <= set(exposed)
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example.org",
        f"{PAGE}.evil.org",
        f"{PAGE}:8443",
        "http://app.example.org",
        "null",
        "",
    ],
)
@pytest.mark.usefixtures("migrated")
def test_undeclared_origins_get_no_cors_headers(make_app: MakeApp, origin: str) -> None:
    """Origins match exactly; Vary keeps caches from mixing responses for two origins."""
    client = make_app(cors_origins=PAGE).test_client()
    answers = (
        client.get(ORDERS, headers={"Origin": origin}),
        preflight(client, origin),
        client.get(ORDERS),
    )
    for answer in answers:
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Methods" not in answers[1].headers


@pytest.mark.usefixtures("migrated")
def test_preflight_of_an_unknown_url_is_404(make_app: MakeApp) -> None:
    """URLs that match no route have no preflight."""
    is_problem(preflight(make_app(cors_origins=PAGE).test_client(), PAGE, "/nothing"), 404)


@pytest.mark.parametrize(
    "wrong",
    [
        "*",
        "null",
        "app.example.org",
        "https://app.example.org/",
        "https://*.example.org",
        "https://a b",
    ],
)
def test_inexact_origin_stops_the_start(wrong: str) -> None:
    """A wildcard, a path or a bare host would allow nobody or everybody."""
    with pytest.raises(ValidationError):
        PlatformSettings(_env_file=None, cors_origins=wrong)


def test_list_settings_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable is an empty list."""
    monkeypatch.setenv("EVARA_TRUSTED_HOSTS", "api.example.org, .internal, ")
    monkeypatch.setenv("EVARA_CORS_ORIGINS", "")
    settings = PlatformSettings(_env_file=None)
    assert settings.trusted_hosts == ("api.example.org", ".internal")
    assert settings.cors_origins == ()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("api.example.org", 200),
        ("api.example.org:8000", 200),
        ("a.internal", 200),
        ("evil.org", 400),
        ("api.example.org.evil.org", 400),
    ],
)
@pytest.mark.usefixtures("migrated")
def test_untrusted_host_is_refused(make_app: MakeApp, host: str, status: int) -> None:
    """Other hosts get 400; without the setting all are served."""
    assert make_app().test_client().get("/health/live", headers={"Host": host}).status_code == 200
    app = make_app(trusted_hosts="api.example.org,.internal")
    answer = app.test_client().get("/health/live", headers={"Host": host})
    assert answer.status_code == status
    if status == 400:
        assert "EVARA_TRUSTED_HOSTS" in is_problem(answer, 400)["detail"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("evil.example:8000", 400),
        ("127.0.0.1.evil.example:8000", 400),
        ("192.0.2.1:8000", 400),
        ("", 400),
    ],
)
@pytest.mark.usefixtures("migrated")
def test_development_key_works_under_names_of_this_machine_only(
    make_app: MakeApp, host: str, status: int
) -> None:
    """A page that resolves its own name to this machine knows the key, but is refused."""
    app = make_app(env="development", development_key="known")
    for path in ("/health/live", ORDERS, "/docs", "/nothing"):
        headers = bearer("known") | {"Host": host}
        answer = FlaskClient(app, app.response_class).get(path, headers=headers)
        expected = 404 if (path, status) == ("/nothing", 200) else status
        assert answer.status_code == expected, answer.text


@pytest.mark.usefixtures("migrated")
def test_a_target_in_absolute_form_names_the_host(make_app: MakeApp) -> None:
    """It takes precedence over the Host header (RFC 9112)."""
    client = make_app(trusted_hosts="localhost").test_client()
    for target, status in (("http://localhost/", 200), ("http://evil.example/", 400)):
        sent = {"RAW_URI": f"{target}health/live"}
        assert client.get("/health/live", environ_overrides=sent).status_code == status


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "X" * 200])
def test_unknown_methods_are_refused(client: FlaskClient, method: str) -> None:
    """405 has Allow and repeats nothing of the request; all share one label."""
    answer = client.open(f"{ORDERS}/", method=method, headers={"X-Secret": "of a proxy"})
    is_problem(answer, 405)
    assert "GET" in answer.headers["Allow"]
    assert "of a proxy" not in answer.text
    registry = app_state(client.application).registry
    assert method not in {
        value
        for label in (names.ROUTE, names.CODE, names.STATUS)
        for value in label_values(registry, label)
    }
    value = registry.get_sample_value(
        f"{names.HTTP_REQUESTS}_total", {names.ROUTE: names.UNMATCHED, names.CODE: "405"}
    )
    assert value == 1


def test_errors_do_not_name_the_software(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither body nor headers name a library or a server."""
    answers = [
        client.get("/nothing"),
        client.delete("/api/v1/keys/nothing"),
        client.put(f"{ORDERS}/"),
        client.post(ORDERS, json=ORDER),
        client.post(ORDERS, json=ORDER),
        client.post(ORDERS, json={"id": 1}),
        client.post(ORDERS, data=b"{", content_type="application/json"),
        client.post(ORDERS, data=b"id=1", content_type="text/plain"),
        client.post(ORDERS, data=b" " * 2_000_000, content_type="application/json"),
        client.get(f"{ORDERS}?page=%00"),
        client.get(f"/docs/{'x' * 5000}"),
    ]
    monkeypatch.setattr(orders, "paged", lambda *_, **__: 1 / 0)
    answers.append(client.get(ORDERS))
    assert {answer.status_code for answer in answers} >= {400, 404, 405, 409, 413, 415, 422, 500}
    for answer in answers:
        assert not STACK.search(answer.text), answer.text
        assert not STACK.search(str(answer.headers)), answer.headers


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Yield the port of gunicorn with the shipped settings and a database without tables."""
    folder = tmp_path_factory.mktemp("served")
    log = folder / "log"
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("EVARA_", "PROMETHEUS_"))
    }
    settings = {
        "EVARA_BIND": "127.0.0.1:0",
        "EVARA_WORKERS": "1",
        "EVARA_DATABASE_URL": f"sqlite:///{folder}/evara.db",
    }
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--config",
        "api/gunicorn.conf.py",
        "api.app:create_app()",
    ]
    with log.open("w") as output:
        process = subprocess.Popen(
            bind(command, "TERM"), cwd=ROOT, env=environment | settings, stderr=output
        )
    try:
        for attempt in stamina.retry_context(on=TypeError, attempts=None, timeout=60, wait_max=0.5):
            with attempt:
                listening = re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", log.read_text())
                port = int(listening[1])
        yield port
    finally:
        process.terminate()
        process.wait(30)


def exchange(port: int, request: str) -> str:
    """Send raw bytes and return the whole response."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request.replace("\n", "\r\n").encode("latin-1"))
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode("latin-1")


def ask(port: int, line: str, *headers: str) -> str:
    return exchange(
        port,
        "\n".join([f"{line} HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", ""]),
    )


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET /health/live", 200),
        ("TRACE /health/live", 405),
        ("CONNECT /health/live", 405),
        ("PROPFIND /health/live", 405),
        ("CONNECT localhost:22", 404),
        ("OPTIONS *", 404),
        ("GET\0 /", 400),
        ("get /health/live", 400),
        ("GET /health/live HTTP/1.1 more", 400),
    ],
)
def test_gunicorn_does_not_name_the_software(served: int, line: str, status: int) -> None:
    """Also in the responses that gunicorn itself creates."""
    answer = ask(served, line)
    assert answer.startswith(f"HTTP/1.1 {status} "), answer
    assert not STACK.search(answer), answer


def test_gunicorn_ignores_headers_of_undeclared_proxies(served: int) -> None:
    """Even from 127.0.0.1 no header makes a request secure or changes the script name."""
    answer = ask(
        served,
        "GET /health/live",
        "X-Forwarded-Proto: https",
        "SCRIPT_NAME: /health",
        "X-Forwarded-Ssl: on",
    )
    assert answer.startswith("HTTP/1.1 200 "), answer
    assert "Strict-Transport-Security" not in answer
