"""which entries of its channel a node has, by id"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    columns = (
        sa.Column("cursor_id", sa.BigInteger),
        sa.Column("known_id", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("missing", sa.JSON, nullable=False, server_default=sa.text("'[]'")),
        sa.Column("searched_from", sa.DateTime(timezone=True)),
    )
    for column in columns:
        op.add_column("sync_states", column)


def downgrade() -> None:
    for name in ("searched_from", "missing", "known_id", "cursor_id"):
        op.drop_column("sync_states", name)
