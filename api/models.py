"""The tables; this module imports only SQLAlchemy."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    TypeDecorator,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NODE_KINDS = ("water_tank", "bore_well", "flow_meter")
SCOPES = ("read", "write", "admin")  # each includes those before it


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime in every database; SQLite alone would drop the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _: Dialect) -> datetime | None:
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """The base of all tables; changes of an `__audited__` one go into the audit log."""

    __audited__: ClassVar[bool] = False
    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "ix": "ix_%(table_name)s_%(column_0_name)s",
        }
    )


class Node(Base):
    """A tank, well or meter; `channel_id` and `fields` say where ThingSpeak has its readings."""

    __tablename__ = "nodes"
    __audited__ = True

    id: Mapped[str] = mapped_column(String(63), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(20), index=True)
    channel_id: Mapped[int | None] = mapped_column(Integer)
    # read key of a private channel; never shown
    channel_key: Mapped[str | None] = mapped_column(String(64))
    # "field1" → metric
    fields: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    # metric → {"below": limit, "above": limit}
    alarms: Mapped[dict[str, dict[str, float]]] = mapped_column(
        JSON, default=dict, server_default=text("'{}'")
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, onupdate=now)

    __table_args__ = (CheckConstraint(f"kind in {NODE_KINDS}", name="kind"),)

    @property
    def source(self) -> tuple[int | None, dict[str, str]]:
        """The values that decide which readings a sync makes of the channel."""
        return self.channel_id, self.fields


class Reading(Base):
    """A value of a node's metric at a time (UTC); the first value stored for that key stays."""

    __tablename__ = "readings"

    node_id: Mapped[str] = mapped_column(
        ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True
    )
    metric: Mapped[str] = mapped_column(String(63), primary_key=True)
    time: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    value: Mapped[float] = mapped_column(Float)

    __table_args__: Any = ({"sqlite_with_rowid": False},)


class Latest(Base):
    """The newest reading per node and metric: a copy, so that a query for it scans no readings."""

    __tablename__ = "latest"

    node_id: Mapped[str] = mapped_column(
        ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True
    )
    metric: Mapped[str] = mapped_column(String(63), primary_key=True)
    time: Mapped[datetime] = mapped_column(UtcDateTime)
    value: Mapped[float] = mapped_column(Float)
    # below, within or above, as in the last delivery; None before the first
    alarm_state: Mapped[str | None] = mapped_column("told", String(10))


class SyncState(Base):
    """The sync cursor of a node, which moves in the same transaction as its readings."""

    __tablename__ = "sync_states"

    node_id: Mapped[str] = mapped_column(
        ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True
    )
    synced_until: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AuditEntry(Base):
    """A change of an audited object; triggers keep it (migrations/versions/0003_audit.py)."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    time: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)
    # the catalogue's route id, cli.<command> or code.<change>
    action: Mapped[str] = mapped_column(String(100))
    subject: Mapped[str] = mapped_column(String(200))  # table/id
    change: Mapped[str] = mapped_column(String(10))  # insert, update or delete
    fields: Mapped[list[str]] = mapped_column(JSON)  # names of what was changed, never values
    key_id: Mapped[str | None] = mapped_column(String(64))
    address: Mapped[str | None] = mapped_column(String(64))
    request_id: Mapped[str | None] = mapped_column(String(64))
    trace_id: Mapped[str | None] = mapped_column(String(32))

    # No id is ever used twice, so that missing entries at the end are noticed.
    __table_args__: Any = ({"sqlite_autoincrement": True},)


class ApiKey(Base):
    """A bearer token, of which only the digest is stored; the token is shown once, at creation."""

    __tablename__ = "api_keys"
    __audited__ = True
    token = ""  # set at creation alone, never stored

    # public: logs and lists name a key by its id
    id: Mapped[str] = mapped_column(String(12), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    # SHA-256, hexadecimal
    digest: Mapped[str] = mapped_column(String(64), unique=True, index=True)
    scope: Mapped[str] = mapped_column(String(10))
    # no rate limit, for load runs and probers
    unlimited: Mapped[bool] = mapped_column(Boolean, default=False)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__ = (CheckConstraint(f"scope in {SCOPES}", name="scope"),)


class Lease(Base):
    """The exclusive right of one worker to a job; a killed worker's lease expires."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(150), primary_key=True)
    owner: Mapped[str] = mapped_column(String(32))
    until: Mapped[datetime] = mapped_column(UtcDateTime)


class Delivery(Base):
    """The outbox: one call of the webhook, written with its readings and deleted on success."""

    __tablename__ = "deliveries"

    # A node's deliveries are sent in the order of their ids.
    id: Mapped[int] = mapped_column(primary_key=True)
    # Idempotency-Key; receivers remember it, so it is never used again
    key: Mapped[str] = mapped_column(String(32), index=True, unique=True)
    # Not a foreign key: the alarm is delivered even when the node has been deleted.
    node_id: Mapped[str] = mapped_column(String(63), index=True)
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    # context of the request or job that caused it
    headers: Mapped[dict[str, str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    attempts: Mapped[int] = mapped_column(Integer, default=0)

    __table_args__: Any = ({"sqlite_autoincrement": True},)


class DeadLetter(Base):
    """A job that failed for good; deleted when a later run succeeds or an operator drops it."""

    __tablename__ = "dead_letters"

    id: Mapped[int] = mapped_column(primary_key=True)
    task: Mapped[str] = mapped_column(String(63))
    # the node of a sync, the key of a delivery
    subject: Mapped[str] = mapped_column(String(63))
    error: Mapped[str] = mapped_column(String(300))
    attempts: Mapped[int] = mapped_column(Integer)
    # arguments of a retry
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    first_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    __table_args__: Any = (
        Index(None, "task", "subject", unique=True),
        {"sqlite_autoincrement": True},
    )
