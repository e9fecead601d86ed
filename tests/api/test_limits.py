"""Rate limits: the catalogue's numbers, whom they spare, and the store that workers share."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from api import app as app_module
from api.limits import SharedFileStorage
from observability import plan
from tests.api.conftest import MakeApp
from tests.api.helpers import KEYS, NODES, UNLIMITED, bearer, is_problem

PLAN = plan.from_files()
LIMITS = {route.id: int(route.rate_limit.split("/")[0]) for route in PLAN.routes}


def allowed(client: FlaskClient, path: str = NODES, tries: int = 200, **words: object) -> int:
    """How many of the requests came through before the first 429."""
    for number in range(tries):
        if client.get(path, **words).status_code == 429:
            return number
    return tries


@pytest.mark.usefixtures("database_file")
def test_the_catalogues_number_is_the_limit(make_app: MakeApp) -> None:
    """One more request than the catalogue allows is 429 with Retry-After; other routes and other clients are not touched."""
    client = make_app().test_client()
    assert allowed(client) == LIMITS["nodes.list"]
    answer = client.get(NODES)
    is_problem(answer, 429)
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert client.get(f"{NODES}/x").status_code == 404
    assert client.get(NODES, environ_base={"REMOTE_ADDR": "10.0.0.2"}).status_code == 200


@pytest.mark.parametrize(
    ("token", "limited"), [(UNLIMITED, False), (KEYS["admin"], True), (UNLIMITED[:-1], True), ("\xff\xfe", True), ("", True)]
)
@pytest.mark.usefixtures("database_file")
def test_only_unlimited_keys_are_exempt(make_app: MakeApp, token: str, limited: bool) -> None:
    """Load runs and probers are not limited; neither a wide scope nor a wrong or odd key helps."""
    found = allowed(make_app().test_client(), headers=bearer(token))
    assert (found == LIMITS["nodes.list"]) is limited


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/openapi.json", "/nothing"])
@pytest.mark.usefixtures("database_file")
def test_what_is_exempt_is_never_limited(make_app: MakeApp, path: str) -> None:
    """Health, documentation and unknown URLs answer however often they are asked."""
    assert allowed(make_app().test_client(), path) == 200


@pytest.mark.usefixtures("database_file")
def test_workers_share_one_count(make_app: MakeApp, tmp_path: Path) -> None:
    """Two apps on one file allow as much together as one alone."""
    url = f"sqlite:///{tmp_path}/limits.db"
    first, second = (make_app(limiter_url=url).test_client() for _ in range(2))
    assert allowed(first, tries=100) == 100
    assert allowed(second) == LIMITS["nodes.list"] - 100
    assert first.get(NODES).status_code == 429


@pytest.mark.usefixtures("database_file")
def test_a_dead_store_neither_stops_nor_unlimits(make_app: MakeApp, tmp_path: Path) -> None:
    """Without its store each worker counts for itself."""
    url = f"sqlite:///{tmp_path}/no/such/folder/limits.db"
    assert not SharedFileStorage(url).check()
    assert allowed(make_app(limiter_url=url).test_client()) == LIMITS["nodes.list"]


@pytest.mark.usefixtures("database_file")
def test_another_limit_in_the_catalogue_is_another_limit(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number comes from the plan and stands nowhere in the app."""
    routes = tuple(replace(route, rate_limit="3/minute") if route.id == "nodes.list" else route for route in PLAN.routes)
    monkeypatch.setattr(app_module.plan, "from_files", lambda: replace(PLAN, routes=routes))
    assert allowed(make_app().test_client()) == 3


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/counters.db"


def test_counters_are_shared_exactly(url: str) -> None:
    """Threads over two instances on one file lose no count."""
    stores = [SharedFileStorage(url), SharedFileStorage(url)]
    threads = [threading.Thread(target=lambda n=n: [stores[n % 2].incr("k", 60) for _ in range(50)]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [store.get("k") for store in stores] == [200, 200]


def test_counters_expire_and_start_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A count lives from its first increment on for its time, and the next one begins at its amount."""
    store, now = SharedFileStorage(url), time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    assert [store.incr("k", 10), store.incr("k", 10, amount=3)] == [1, 4]
    assert store.get_expiry("k") == now + 10
    now += 9.9
    assert store.get("k") == 4
    assert store.incr("k", 10) == 5
    now += 0.2
    assert store.get("k") == 0
    assert store.incr("k", 10, amount=2) == 2
    assert store.get_expiry("k") == now + 10


def test_counters_can_be_forgotten(url: str) -> None:
    """clear forgets one key, reset all of them and says how many; unknown keys are zero and expire now."""
    store = SharedFileStorage(url)
    for key in "abc":
        store.incr(key, 60)
    store.clear("a")
    assert [store.get(key) for key in "abc"] == [0, 1, 1]
    assert store.reset() == 2
    assert store.get("b") == 0
    assert store.get_expiry("b") <= time.time()
    assert store.check()


def test_three_slashes_are_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL means what the database's means: three slashes relative, four absolute."""
    monkeypatch.chdir(tmp_path)
    SharedFileStorage("sqlite:///near.db").incr("k", 60)
    assert SharedFileStorage(f"sqlite:////{str(tmp_path)[1:]}/near.db").get("k") == 1
