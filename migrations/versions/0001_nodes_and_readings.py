"""nodes, readings, the newest reading per metric, and how far each channel was synced"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def node_id() -> sa.Column:
    return sa.Column(
        "node_id", sa.String(63), sa.ForeignKey("nodes.id", ondelete="CASCADE"), nullable=False
    )


def upgrade() -> None:
    op.create_table(
        "nodes",
        sa.Column("id", sa.String(63), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("channel_id", sa.Integer),
        sa.Column("channel_key", sa.String(64)),
        sa.Column("fields", sa.JSON, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.CheckConstraint(
            "kind in ('water_tank', 'bore_well', 'flow_meter')", name=op.f("ck_nodes_kind")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_nodes"),
    )
    op.create_index("ix_nodes_kind", "nodes", ["kind"])
    op.create_table(
        "readings",
        node_id(),
        sa.Column("metric", sa.String(63), nullable=False),
        sa.Column("time", TIME, nullable=False),
        sa.Column("value", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("node_id", "metric", "time", name="pk_readings"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "latest",
        node_id(),
        sa.Column("metric", sa.String(63), nullable=False),
        sa.Column("time", TIME, nullable=False),
        sa.Column("value", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("node_id", "metric", name="pk_latest"),
    )
    op.create_table(
        "sync_states",
        node_id(),
        sa.Column("synced_until", TIME, nullable=False),
        sa.Column("finished_at", TIME),
        sa.PrimaryKeyConstraint("node_id", name="pk_sync_states"),
    )


def downgrade() -> None:
    for table in ("sync_states", "latest", "readings", "nodes"):
        op.drop_table(table)
