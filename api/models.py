"""The tables; it imports SQLAlchemy only."""

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

KINDS = ("water_tank", "bore_well", "flow_meter")
SCOPES = ("read", "write", "admin")  # each includes those before it


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime in every database; SQLite would forget the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _: Dialect) -> datetime | None:
        return value.astimezone(UTC).replace(tzinfo=UTC) if value else None

    def process_result_value(self, value: datetime | None, _: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


def now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    __audited__: ClassVar[bool] = False  # True: no change without its entry in the audit log
    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "ix": "ix_%(table_name)s_%(column_0_name)s",
        }
    )


class Node(Base):
    """A tank, well or meter. `channel_id` and `fields` tell where ThingSpeak keeps its readings, if it does."""

    __tablename__ = "nodes"
    __audited__ = True

    id: Mapped[str] = mapped_column(String(63), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(20), index=True)
    channel_id: Mapped[int | None] = mapped_column(Integer)
    channel_key: Mapped[str | None] = mapped_column(
        String(64)
    )  # read key of a private channel; never shown
    fields: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)  # "field1" → metric
    alarms: Mapped[dict[str, dict[str, float]]] = mapped_column(
        JSON, default=dict, server_default=text("'{}'")
    )  # metric → below, above
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, onupdate=now)

    __table_args__ = (CheckConstraint(f"kind in {KINDS}", name="kind"),)

    @property
    def source(self) -> tuple[int | None, dict[str, str]]:
        """What decides which readings a sync makes of the channel."""
        return self.channel_id, self.fields


class Reading(Base):
    """One value of one metric of one node at one time (UTC); the first value stored for that key stays."""

    __tablename__ = "readings"

    node_id: Mapped[str] = mapped_column(
        ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True
    )
    metric: Mapped[str] = mapped_column(String(63), primary_key=True)
    time: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    value: Mapped[float] = mapped_column(Float)

    __table_args__: Any = ({"sqlite_with_rowid": False},)


class Latest(Base):
    """The newest reading per node and metric, kept beside the readings so that asking for it never scans them."""

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
    """How far a node's ThingSpeak channel has been read; moves in the same transaction as the readings."""

    __tablename__ = "sync_states"

    node_id: Mapped[str] = mapped_column(
        ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True
    )
    synced_until: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AuditEntry(Base):
    """Who changed what, and when; triggers refuse every later change of it (migrations/versions/0003_audit.py)."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    time: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)
    action: Mapped[str] = mapped_column(
        String(100)
    )  # the catalogue's route id, cli.<command>, or code.<change>
    subject: Mapped[str] = mapped_column(String(200))  # table/id
    change: Mapped[str] = mapped_column(String(10))  # insert, update or delete
    fields: Mapped[list[str]] = mapped_column(JSON)  # names of what was changed, never values
    key_id: Mapped[str | None] = mapped_column(String(64))
    address: Mapped[str | None] = mapped_column(String(64))
    request_id: Mapped[str | None] = mapped_column(String(64))
    trace_id: Mapped[str | None] = mapped_column(String(32))

    __table_args__: Any = (
        {"sqlite_autoincrement": True},
    )  # a number is never given twice, so gaps at the end are seen


class ApiKey(Base):
    """A bearer token by its digest alone; the token itself is told once, when it is made."""

    __tablename__ = "api_keys"
    __audited__ = True
    token = ""  # known to who makes it, stored nowhere

    id: Mapped[str] = mapped_column(
        String(12), primary_key=True
    )  # public: logs and lists name a key by it
    name: Mapped[str] = mapped_column(String(100))
    digest: Mapped[str] = mapped_column(String(64), unique=True, index=True)  # SHA-256, hexadecimal
    scope: Mapped[str] = mapped_column(String(10))
    unlimited: Mapped[bool] = mapped_column(
        Boolean, default=False
    )  # load runs and probers: no rate limit
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__ = (CheckConstraint(f"scope in {SCOPES}", name="scope"),)


class Lease(Base):
    """Who works on what, and until when nobody else may; a killed owner's lease ends by itself."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(150), primary_key=True)
    owner: Mapped[str] = mapped_column(String(32))
    until: Mapped[datetime] = mapped_column(UtcDateTime)


class Delivery(Base):
    """The outbox: what the webhook has yet to be told, written with the readings that caused it, gone when it was taken."""

    __tablename__ = "deliveries"

    id: Mapped[int] = mapped_column(primary_key=True)  # the order of a node's deliveries
    key: Mapped[str] = mapped_column(
        String(32), index=True, unique=True
    )  # Idempotency-Key; outlives the row, so never used again
    node_id: Mapped[str] = mapped_column(
        String(63), index=True
    )  # no foreign key: what happened is told, though the node be gone
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    headers: Mapped[dict[str, str]] = mapped_column(
        JSON
    )  # context of the request or job that caused it
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    attempts: Mapped[int] = mapped_column(Integer, default=0)

    __table_args__: Any = ({"sqlite_autoincrement": True},)


class DeadLetter(Base):
    """Work that failed for good, until it is tried again with success, or dropped."""

    __tablename__ = "dead_letters"

    id: Mapped[int] = mapped_column(primary_key=True)
    task: Mapped[str] = mapped_column(String(63))
    subject: Mapped[str] = mapped_column(String(63))  # the node of a sync, the key of a delivery
    error: Mapped[str] = mapped_column(String(300))
    attempts: Mapped[int] = mapped_column(Integer)
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)  # what trying again needs
    first_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    __table_args__: Any = (
        Index(None, "task", "subject", unique=True),
        {"sqlite_autoincrement": True},
    )
