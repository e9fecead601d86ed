"""leases, the outbox of deliveries, dead letters, and the alarms of nodes"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column(
        "nodes", sa.Column("alarms", sa.JSON, nullable=False, server_default=sa.text("'{}'"))
    )
    op.add_column("latest", sa.Column("told", sa.String(10)))
    op.create_table(
        "leases",
        sa.Column("name", sa.String(150), nullable=False),
        sa.Column("owner", sa.String(32), nullable=False),
        sa.Column("until", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("node_id", sa.String(63), nullable=False),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("headers", sa.JSON, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_deliveries_key", "deliveries", ["key"], unique=True)
    op.create_index("ix_deliveries_node_id", "deliveries", ["node_id"])
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("task", sa.String(63), nullable=False),
        sa.Column("subject", sa.String(63), nullable=False),
        sa.Column("error", sa.String(300), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("first_at", TIME, nullable=False),
        sa.Column("last_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dead_letters"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_dead_letters_task", "dead_letters", ["task", "subject"], unique=True)


def downgrade() -> None:
    for table in ("dead_letters", "deliveries", "leases"):
        op.drop_table(table)
    op.drop_column("latest", "told")
    op.drop_column(
        "nodes", "alarms"
    )  # not by a copy of the table: dropping the old one would take the readings along
