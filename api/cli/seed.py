"""The nodes that `flask --app api.app seed` creates."""

import click
from werkzeug.exceptions import Conflict

from api.services import nodes

NODES = (
    ("main-branch", "Main branch, flow meter", "flow_meter", 1001),
    ("north-well", "North bore well, discharge", "bore_well", 1002),
    ("hill-tank", "Hill tank, outlet", "water_tank", 1003),
)
FIELDS = {"field1": "flow_lps"}  # of their ThingSpeak channels


def create_nodes() -> None:
    """Create the nodes whose channels the replay server has, unless they exist."""
    created = [create_node(*values) for values in NODES].count(True)
    click.echo(f"{created} nodes created, {len(NODES) - created} existed")


def create_node(node_id: str, name: str, kind: str, channel_id: int) -> bool:
    """Store a node and return True; return False when it exists."""
    source = {"channel_id": channel_id, "fields": FIELDS}
    try:
        nodes.create({"id": node_id, "name": name, "kind": kind} | source)
    except Conflict:
        return False
    return True
