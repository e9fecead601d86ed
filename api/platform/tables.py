"""The platform's tables, and the base of all tables."""

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from api.platform.clock import now
from api.platform.types import Headers, JsonObject

Text63 = Annotated[str, mapped_column(String(63))]
SUBJECT_COLUMN = "node_id"  # of deliveries; the name that the first migrations gave it
SCOPES = ("read", "write", "admin")  # each includes those before it


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime in every database; SQLite does not store the time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _: Dialect) -> datetime | None:
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """The base of all tables; changes of an `__audited__` one go into the audit log."""

    __audited__: ClassVar[bool] = False
    type_annotation_map: ClassVar = {
        datetime: UtcDateTime,
        JsonObject: JSON,
        dict[str, str]: JSON,
    }
    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "ix": "ix_%(table_name)s_%(column_0_name)s",
        }
    )


class AuditEntry(Base):
    """A change of an audited object; triggers refuse to alter or delete it."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    time: Mapped[datetime] = mapped_column(default=now, index=True)
    # the catalogue's route id, cli.<command> or code.<change>
    action: Mapped[str] = mapped_column(String(100))
    subject: Mapped[str] = mapped_column(String(200))  # table/id
    change: Mapped[str] = mapped_column(String(10))  # insert, update or delete
    fields: Mapped[list[str]] = mapped_column(JSON)  # names of the changed fields, never values
    key_id: Mapped[str | None] = mapped_column(String(64))
    address: Mapped[str | None] = mapped_column(String(64))
    request_id: Mapped[str | None] = mapped_column(String(64))
    trace_id: Mapped[str | None] = mapped_column(String(32))

    # Ids are never reused, so that missing entries at the end are noticed.
    __table_args__: Any = ({"sqlite_autoincrement": True},)


class ApiKey(Base):
    """A bearer token, of which only the digest is stored; the token is shown once, at creation."""

    __tablename__ = "api_keys"
    __audited__ = True
    token = ""  # set only at creation, never stored

    # public: logs and lists show it
    id: Mapped[str] = mapped_column(String(12), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    # SHA-256, hexadecimal
    digest: Mapped[str] = mapped_column(String(64), unique=True, index=True)
    scope: Mapped[str] = mapped_column(String(10))
    # no rate limit, for load runs and probers
    unlimited: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]

    __table_args__ = (CheckConstraint(f"scope in {SCOPES}", name="scope"),)


class IdempotentResponse(Base):
    """The response to a request with an Idempotency-Key, for its repeats."""

    __tablename__ = "idempotent_responses"

    # Both are SHA-256, hexadecimal: the first of caller, operation and key.
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    request_digest: Mapped[str] = mapped_column(String(64))
    status: Mapped[int]
    headers: Mapped[Headers]
    # of a 409: its detail
    body: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Lease(Base):
    """The exclusive right of one worker to a job; it expires when the worker is killed."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(150), primary_key=True)
    owner: Mapped[str] = mapped_column(String(32))
    until: Mapped[datetime]


class Delivery(Base):
    """An entry of the outbox: one call of the webhook, deleted when it succeeds."""

    __tablename__ = "deliveries"

    # Deliveries about one subject are sent in the order of their ids.
    id: Mapped[int] = mapped_column(primary_key=True)
    # Idempotency-Key; never reused, because receivers remember it
    key: Mapped[str] = mapped_column(String(32), index=True, unique=True)
    # No foreign key: it is delivered even when the subject has been deleted.
    subject: Mapped[str] = mapped_column(SUBJECT_COLUMN, String(63), index=True)
    payload: Mapped[JsonObject]
    # the context of the request or job that caused it
    headers: Mapped[Headers]
    created_at: Mapped[datetime] = mapped_column(default=now)
    due_at: Mapped[datetime] = mapped_column(default=now)
    attempts: Mapped[int] = mapped_column(default=0)

    __table_args__: Any = ({"sqlite_autoincrement": True},)


class DeadLetter(Base):
    """A job that failed permanently; deleted when a run succeeds or an operator drops it."""

    __tablename__ = "dead_letters"

    id: Mapped[int] = mapped_column(primary_key=True)
    task: Mapped[Text63]
    # what the job was about; the key of a delivery
    subject: Mapped[Text63]
    error: Mapped[str] = mapped_column(String(300))
    attempts: Mapped[int]
    # what a retry needs beside the subject
    payload: Mapped[JsonObject]
    first_at: Mapped[datetime] = mapped_column(default=now)
    last_at: Mapped[datetime] = mapped_column(default=now)

    __table_args__: Any = (
        Index(None, "task", "subject", unique=True),
        {"sqlite_autoincrement": True},
    )
