"""API keys and the keyring that caches them, independent of requests."""

import hashlib
import logging
import re
import secrets
import time
from typing import Any

from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import NotFound

from api.platform.clock import now
from api.platform.db import Database, database, paged
from api.platform.state import app_state
from api.platform.tables import ApiKey
from api.platform.types import JsonObject

PREFIX = "evara_"
TOKEN = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")
CACHE_SECONDS = 10.0  # so long a key that another process revoked may still work
MAX_CACHED = 1_000
USE_SECONDS = 60.0  # the resolution of last_used_at
# The table, not the class: a use of a key is not a change, so it is not audited.
KEYS_TABLE = ApiKey.metadata.tables[ApiKey.__tablename__]
log = logging.getLogger(__name__)


class Keyring:
    """A cache of valid keys, so that most requests cost no query; unknown tokens are not cached."""

    def __init__(self, database: Database):
        self._database = database
        # digest → key, and the monotonic time at which it must be loaded again
        self._cached: dict[str, tuple[ApiKey, float]] = {}
        self._last_recorded: dict[str, float] = {}  # key id → monotonic time of its last write

    def find(self, token: str) -> ApiKey | None:
        """Return the token's key; None when it is unknown, revoked or expired.

        Raise SQLAlchemyError when the database cannot be queried.
        """
        if not TOKEN.fullmatch(token):
            return None
        digest = digest_of(token)
        key, reload_at = self._cached.get(digest, (None, 0.0))
        if time.monotonic() >= reload_at:
            key = self._load(digest)
        if key is None or (key.expires_at and key.expires_at <= now()):
            return None
        return key

    def _load(self, digest: str) -> ApiKey | None:
        query = select(ApiKey).where(ApiKey.digest == digest, ApiKey.revoked_at.is_(None))
        with self._database.read() as session:
            key = session.scalar(query)
        if key:
            if len(self._cached) >= MAX_CACHED:
                self._cached.clear()
            self._cached[digest] = key, time.monotonic() + CACHE_SECONDS
        return key

    def forget(self, key: ApiKey) -> None:
        """Remove a key from the cache of this process."""
        self._cached.pop(key.digest, None)

    def record_use(self, key_id: str) -> None:
        """Write the time of use, at most once a minute; log failures."""
        time_of_use = time.monotonic()
        if time_of_use - self._last_recorded.get(key_id, -USE_SECONDS) < USE_SECONDS:
            return
        self._last_recorded[key_id] = time_of_use
        statement = update(KEYS_TABLE).where(KEYS_TABLE.c.id == key_id)
        try:
            with self._database.write() as session:
                session.execute(statement.values(last_used_at=now()))
        except SQLAlchemyError as error:
            log.warning(
                "the use of a key could not be recorded: %s", error, extra={"key_id": key_id}
            )


def digest_of(token: str) -> str:
    """Return the digest under which a token is stored.

    A token has 256 random bits, so that a fast hash without salt is enough.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def init_app(app: Flask) -> None:
    """Give the app a keyring over its database."""
    state = app_state(app)
    state.keyring = Keyring(state.database)


def keyring() -> Keyring:
    """Return the keyring of the current app."""
    return app_state().keyring


def page(page: int, page_size: int) -> JsonObject:
    """Return a page of keys, newest first, including revoked ones."""
    query = select(ApiKey).order_by(ApiKey.created_at.desc(), ApiKey.id)
    with database().read() as session:
        return paged(session, query, page, page_size)


def is_adoptable(token: str) -> bool:
    """Return whether the token has the form of a key and was never stored here."""
    if not TOKEN.fullmatch(token):
        return False
    query = select(ApiKey).where(ApiKey.digest == digest_of(token))
    with database().read() as session:
        return session.scalar(query) is None


def create(token: str | None = None, **values: Any) -> ApiKey:
    """Store and return a new key with its token; `values` are its columns."""
    token = token or PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(id=secrets.token_hex(6), digest=digest_of(token), **values)
    key.token = token
    with database().write() as session:
        session.add(key)
    return key


def revoke(key_id: str) -> None:
    """Revoke the key: here at once, in other processes within CACHE_SECONDS.

    Revoking it again changes nothing. Raise NotFound when there is no such key.
    """
    with database().write() as session:
        key = None
        if key_id.isprintable():  # PostgreSQL rejects a query for text with NUL
            key = session.get(ApiKey, key_id)
        if key is None:
            raise NotFound(f"Key {key_id!r} does not exist.")
        key.revoked_at = key.revoked_at or now()
    keyring().forget(key)
