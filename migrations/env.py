"""The connection of `flask db` to the database: the app's own engine and metadata."""

from alembic import context

from api.platform.db import database
from api.platform.tables import Base

LOCK = 0x45764172  # any number that nobody else takes
# A migration that waits for a table makes the requests of the running release wait behind it.
LOCK_TIMEOUT = "3s"

with database().engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        if (
            connection.dialect.name == "postgresql"
        ):  # as long as it needs, and one after the other where machines start together
            connection.exec_driver_sql(
                f"SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock({LOCK});"
                f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"
            )
        context.run_migrations()
