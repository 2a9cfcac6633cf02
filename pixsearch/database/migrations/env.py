"""The Alembic environment script for `upgrade`, which passes a connection with an open transaction."""

from __future__ import annotations

from alembic import context

from pixsearch.database.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,  # SQLite cannot alter a table in place
)
context.run_migrations()
