"""The nodes of `flask seed`."""

from flask import Flask

from tests.api.helpers import NODES
from tests.api.platform.cli.test_seed import seed

HILL_TANK = f"{NODES}/hill-tank"


def test_second_seed_creates_no_nodes(app: Flask) -> None:
    """The second seed changes nothing."""
    assert seed(app) == "3 nodes created, 0 existed\n"
    app.test_client().patch(HILL_TANK, json={"name": "Renamed"})
    assert seed(app) == "0 nodes created, 3 existed\n"
    assert app.test_client().get(HILL_TANK).get_json()["name"] == "Renamed"


def test_seeded_nodes_are_valid(app: Flask) -> None:
    """They match the schema of the API."""
    seed(app)
    client = app.test_client()
    columns = ("id", "name", "kind", "channel_id", "fields")
    for node in client.get(NODES).get_json()["items"]:
        assert client.delete(f"{NODES}/{node['id']}").status_code == 204
        values = {name: node[name] for name in columns}
        assert client.post(NODES, json=values).status_code == 201
