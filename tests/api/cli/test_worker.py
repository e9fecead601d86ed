"""`flask sync`: its exit code."""

from pathlib import Path

import pytest
import stamina

from loadtests.thingspeak_stub import ThingSpeakStub
from tests.api.conftest import MakeApp
from tests.api.helpers import NODES


@pytest.mark.usefixtures("migrated")
def test_sync_exits_by_its_outcome(
    make_app: MakeApp, replay: ThingSpeakStub, tmp_path: Path
) -> None:
    """Exit 0 when every node was synced, 1 when one was not; readings are stored either way."""
    app = make_app(
        thingspeak_url=f"http://127.0.0.1:{replay.server_port}",
        thingspeak_timeout=5,
        jobs_url=f"sqlite:///{tmp_path}/jobs.db",
    )
    runner = app.test_cli_runner()
    runner.invoke(args=["seed"])
    for node_id in ("north-well", "hill-tank"):
        app.test_client().delete(f"{NODES}/{node_id}")
    assert runner.invoke(args=["sync"]).exit_code == 0
    assert app.test_client().get(f"{NODES}/main-branch/readings").get_json()["total"] > 1400
    replay.set_mode("fail", 60)
    with stamina.set_testing(True, attempts=1):
        assert runner.invoke(args=["sync"]).exit_code == 1
