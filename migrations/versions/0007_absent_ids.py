"""ids of entries that a search of their channel did not find"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    absent = sa.Column("absent", sa.JSON, nullable=False, server_default=sa.text("'[]'"))
    op.add_column("sync_states", absent)


def downgrade() -> None:
    op.drop_column("sync_states", "absent")
