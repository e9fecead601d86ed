"""The tables of the nouns."""

from datetime import datetime
from typing import Annotated, Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Float, ForeignKey, String, text
from sqlalchemy.orm import Mapped, mapped_column

from api.platform.clock import now
from api.platform.tables import Base, Text63

NodeId = Annotated[str, mapped_column(ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True)]
METRIC = r"[a-z][a-z0-9_]{0,62}"  # pattern of a metric's name
LARGEST = 1e12  # absolute value of a reading
NODE_KINDS = ("water_tank", "bore_well", "flow_meter")


class Node(Base):
    """A tank, well or meter; `channel_id` and `fields` say where ThingSpeak has its readings."""

    __tablename__ = "nodes"
    __audited__ = True

    id: Mapped[Text63] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(20), index=True)
    channel_id: Mapped[int | None]
    # read key of a private channel; never shown
    channel_key: Mapped[str | None] = mapped_column(String(64))
    # "field1" → metric
    fields: Mapped[dict[str, str]] = mapped_column(default=dict)
    # metric → {"below": limit, "above": limit}
    alarms: Mapped[dict[str, dict[str, float]]] = mapped_column(
        JSON, default=dict, server_default=text("'{}'")
    )
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)

    __table_args__ = (CheckConstraint(f"kind in {NODE_KINDS}", name="kind"),)

    @property
    def source(self) -> tuple[int | None, dict[str, str]]:
        """The values that determine the readings of a sync: channel and fields."""
        return self.channel_id, self.fields


class Reading(Base):
    """A value of a node's metric at a time (UTC); the first value stored for that key stays."""

    __tablename__ = "readings"

    node_id: Mapped[NodeId]
    metric: Mapped[Text63] = mapped_column(primary_key=True)
    time: Mapped[datetime] = mapped_column(primary_key=True)
    value: Mapped[float] = mapped_column(Float)

    __table_args__: Any = ({"sqlite_with_rowid": False},)


class Latest(Base):
    """A metric of a node, with its alarm state and its newest reading by the senders' clocks.

    That reading may be ahead of the server's clock; services.current finds the current one.
    """

    __tablename__ = "latest"

    node_id: Mapped[NodeId]
    metric: Mapped[Text63] = mapped_column(primary_key=True)
    time: Mapped[datetime]
    value: Mapped[float] = mapped_column(Float)
    # below, within or above, as in the last delivery; None before the first
    alarm_state: Mapped[str | None] = mapped_column("told", String(10))


class SyncState(Base):
    """The sync state of a node; it changes in the same transaction as the readings."""

    __tablename__ = "sync_states"

    node_id: Mapped[NodeId]
    # the cursor: time of the newest entry, and its id
    synced_until: Mapped[datetime]
    cursor_id: Mapped[int | None] = mapped_column(BigInteger)
    finished_at: Mapped[datetime | None]
    # Entries with ids up to this one were read or do not exist, but for those that are missing.
    known_id: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    # ranges of ids, [first, last]
    missing: Mapped[list[list[int]]] = mapped_column(
        JSON, default=list, server_default=text("'[]'")
    )
    # the time from which on the channel has been searched for them
    searched_from: Mapped[datetime | None]
    # those that the last search of all times did not find; the next search is their last
    absent: Mapped[list[list[int]]] = mapped_column(JSON, default=list, server_default=text("'[]'"))
