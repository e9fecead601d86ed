"""Setup and fixtures of all tests.

An environment without settings of other stacks, the option `--database`, and a Redis.
"""

import gc
import os
from collections.abc import Iterator
from typing import Any

import pytest

for name in [name for name in os.environ if name.startswith(("EVARA_", "PROMETHEUS_"))]:
    del os.environ[name]  # before anything imports prometheus_client, which looks once
# Tests talk to this machine alone; loading all authorities for each HTTP client took most of
# their time.
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = os.devnull
# For tests that run promtool themselves; see observability/checks/server_tools.py.
os.environ.setdefault("GOGC", "400")

from tests.raised_alerts import (  # noqa: E402
    pytest_runtest_call,  # noqa: F401
    pytest_runtest_makereport,  # noqa: F401
    raised_alerts,  # noqa: F401
)
from tests.redis_server import RedisServer  # noqa: E402

LEFT_OUT: set[str] = set()  # tests about SQLite, in a run over another database
MEETS_A_DATABASE = frozenset({"migrated", "new_database", "lost_url"})  # fixtures


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=("sqlite", "postgresql"),
        default="sqlite",
        help="What the API's tests run over.",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run tests of databases alone with another database; run tests of SQLite itself last."""
    if config.getoption("--database") == "sqlite":
        return
    about_sqlite: dict[pytest.Item, str] = {}
    without_database: list[pytest.Item] = []
    for item in items:
        mark = item.get_closest_marker("sqlite_only")
        if mark:
            about_sqlite[item] = mark.args[0]
        elif not MEETS_A_DATABASE.intersection(getattr(item, "fixturenames", ())):
            without_database.append(item)
    LEFT_OUT.update(f"{item.nodeid}: {reason}" for item, reason in about_sqlite.items())
    left_out = {*about_sqlite, *without_database}
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish() -> None:
    """Exclude objects of imports and collection from garbage collection."""
    gc.freeze()
    gc.set_threshold(50_000)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(
        session.config, "workeroutput"
    ):  # a worker of pytest-xdist tells the one that prints
        session.config.workeroutput["left_out"] = sorted(LEFT_OUT)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    LEFT_OUT.update(node.workeroutput.get("left_out", ()) if hasattr(node, "workeroutput") else ())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if LEFT_OUT:
        terminalreporter.write_sep(
            "-", f"about SQLite alone, not run over another database: {len(LEFT_OUT)}"
        )
    for line in sorted(LEFT_OUT):
        terminalreporter.write_line(line)


@pytest.fixture
def redis_url() -> Iterator[str]:
    """Yield the URL of a Redis that only this test uses."""
    with RedisServer() as server:
        yield server.url
