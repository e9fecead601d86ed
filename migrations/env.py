"""How `flask db` reaches the database: the app's own engine and metadata."""

from alembic import context

from api.db import database
from api.models import Base

with database().engine.connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=connection.dialect.name == "sqlite")
    with context.begin_transaction():
        context.run_migrations()
