"""Rules of nodes, independent of requests; errors are werkzeug's HTTP exceptions."""

from sqlalchemy import delete as sql_delete
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from werkzeug.exceptions import Conflict, NotFound

from api.models import Node, SyncState
from api.platform.db import database, paged
from api.platform.jobs import dead_letters
from api.platform.types import JsonObject
from api.services.thingspeak import SYNC_JOB


def require(session: Session, node_id: str) -> Node:
    """Return the node; raise NotFound when there is none."""
    node = None
    if node_id.isprintable():  # PostgreSQL rejects a query for text with NUL
        node = session.get(Node, node_id)
    if node is None:
        raise NotFound(f"Node {node_id!r} does not exist.")
    return node


def page(page: int, page_size: int, kind: str | None = None) -> JsonObject:
    """Return a page of nodes, ordered by id, all or of one kind."""
    query = select(Node).order_by(Node.id)
    if kind:
        query = query.where(Node.kind == kind)
    with database().read() as session:
        return paged(session, query, page, page_size)


def create(values: JsonObject) -> Node:
    """Store and return a new node; raise Conflict when its id is taken."""
    node = Node(**{"fields": {}} | values)
    try:
        with database().write() as session:
            session.add(node)
    except IntegrityError as error:
        raise Conflict(f"Node {values['id']!r} already exists.") from error
    return node


def get(node_id: str) -> Node:
    """Return the node; raise NotFound when there is none."""
    with database().read() as session:
        return require(session, node_id)


def update(node_id: str, values: JsonObject) -> Node:
    """Change and return the node; after a change of channel or fields the sync starts over."""
    with database().write() as session:
        node = require(session, node_id)
        source = node.source
        for key, value in values.items():
            setattr(node, key, value)
        if node.source != source:
            session.execute(sql_delete(SyncState).where(SyncState.node_id == node_id))
            dead_letters.resolve(session, SYNC_JOB, node_id)
    return node


def delete(node_id: str) -> None:
    """Delete the node; the database deletes its readings with it."""
    with database().write() as session:
        session.delete(require(session, node_id))
        dead_letters.resolve(session, SYNC_JOB, node_id)
