"""What may happen to API keys, and the keyring that knows those seen lately; raises werkzeug's HTTP errors, knows no request."""

import hashlib
import logging
import re
import secrets
import time
from typing import Any, cast

from flask import current_app
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import NotFound

from api.models import ApiKey, now
from api.platform.db import Database, database, paged

PREFIX = "evara_"
TOKEN = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")
REMEMBERED_SECONDS = 10.0  # so long may a key that another process revoked still work here
MOST_REMEMBERED = 1_000
USE_SECONDS = 60.0  # last_used_at is as exact as this
USES = ApiKey.metadata.tables[ApiKey.__tablename__]  # beside the audited object: a use is no change
log = logging.getLogger(__name__)


class Keyring:
    """The usable keys that this process saw lately, so that most requests cost no query; unknown tokens are never kept."""

    def __init__(self, database: Database):
        self._database = database
        self._seen: dict[
            str, tuple[ApiKey, float]
        ] = {}  # digest → key, and until when it is believed
        self._used: dict[str, float] = {}  # id → when its use was last written

    def find(self, token: str) -> ApiKey | None:
        """The key that the token opens; None when it is unknown, revoked or expired. SQLAlchemyError when the database is away."""
        if not TOKEN.fullmatch(token):
            return None
        digest = digest_of(token)
        key, until = self._seen.get(digest, (None, 0.0))
        if time.monotonic() >= until:
            key = self._load(digest)
        return key if key and (key.expires_at is None or key.expires_at > now()) else None

    def _load(self, digest: str) -> ApiKey | None:
        with self._database.read() as session:
            key = session.scalar(
                select(ApiKey).where(ApiKey.digest == digest, ApiKey.revoked_at.is_(None))
            )
        if key:
            if len(self._seen) >= MOST_REMEMBERED:
                self._seen.clear()
            self._seen[digest] = key, time.monotonic() + REMEMBERED_SECONDS
        return key

    def forget(self, key: ApiKey) -> None:
        self._seen.pop(key.digest, None)

    def use(self, key_id: str) -> None:
        """Writes that the key was used, at most once a minute. When that fails it is logged, and not tried again for a minute."""
        started = time.monotonic()
        if started - self._used.get(key_id, -USE_SECONDS) < USE_SECONDS:
            return
        self._used[key_id] = started
        try:
            with self._database.write() as session:
                session.execute(update(USES).where(USES.c.id == key_id).values(last_used_at=now()))
        except SQLAlchemyError as error:
            log.warning("use of a key was not noted: %s", error, extra={"key_id": key_id})


def digest_of(token: str) -> str:
    """What is stored of a token. It is random, 256 bits, so that a fast hash without salt is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


def keyring() -> Keyring:
    """The keyring of the current app."""
    return cast(Keyring, current_app.extensions["evara_keyring"])


def page(page: int, page_size: int) -> dict[str, Any]:
    """A page of keys, the newest first, revoked ones too."""
    with database().read() as session:
        return paged(
            session, select(ApiKey).order_by(ApiKey.created_at.desc(), ApiKey.id), page, page_size
        )


def adoptable(token: str) -> bool:
    """Whether the token has the form of a key, and none like it was ever made here."""
    with database().read() as session:
        return (
            bool(TOKEN.fullmatch(token))
            and session.scalar(select(ApiKey).where(ApiKey.digest == digest_of(token))) is None
        )


def create(token: str | None = None, **values: Any) -> ApiKey:
    """The new key with its token; of `name`, `scope`, and perhaps `unlimited` and `expires_at`."""
    token = token or PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(id=secrets.token_hex(6), digest=digest_of(token), **values)
    key.token = token
    with database().write() as session:
        session.add(key)
    return key


def revoke(key_id: str) -> None:
    """The key works no more: here at once, in other processes within REMEMBERED_SECONDS. Doing it again changes nothing."""
    with database().write() as session:
        key = (
            session.get(ApiKey, key_id) if key_id.isprintable() else None
        )  # PostgreSQL refuses even to look for NUL
        if key is None:
            raise NotFound(f"There is no key {key_id!r}.")
        key.revoked_at = key.revoked_at or now()
    keyring().forget(key)
