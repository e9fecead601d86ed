"""The platform's tables, with the triggers of the audit log, and the orders."""

import runpy
from pathlib import Path

import sqlalchemy as sa
from alembic import op

from api.platform.tables import (
    ApiKey,
    AuditEntry,
    DeadLetter,
    Delivery,
    IdempotentResponse,
    Lease,
)

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

PLATFORM = (ApiKey, AuditEntry, Lease, Delivery, DeadLetter, IdempotentResponse)
VERSIONS = Path(__file__).resolve().parents[6] / "migrations" / "versions"
TRIGGERS = [
    runpy.run_path(str(VERSIONS / name))["UP"]
    for name in ("0003_audit.py", "0005_audit_replace.py")
]


def upgrade() -> None:
    for table in PLATFORM:
        table.__table__.create(op.get_bind())
    for statements in TRIGGERS:
        for statement in statements[op.get_bind().dialect.name]:
            op.execute(statement)
    op.create_table(
        "orders",
        sa.Column("id", sa.String(20), nullable=False),
        sa.Column("amount", sa.Double, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("shipped_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
    )


def downgrade() -> None:
    op.drop_table("orders")
    for table in reversed(PLATFORM):
        table.__table__.drop(op.get_bind())
