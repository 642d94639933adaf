"""Alembic runs this to take the steps; the connection comes from ``imd.storage.sql_schema``."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
    # SQLite changes most of a table by making it anew.
    render_as_batch=True,
    # MySQL cannot undo a step, but it can remember each.
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
