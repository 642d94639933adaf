"""All of a database's schema, to be compared with another one's."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, inspect


def described(engine: Engine) -> dict[str, Any]:
    """Table to columns, keys, indexes and options; in an order that does not depend on how it was made."""
    inspector = inspect(engine)
    return {
        table: {
            "columns": {
                column["name"]: (str(column["type"]), column["nullable"], column["default"])
                for column in inspector.get_columns(table)
            },
            "primary key": inspector.get_pk_constraint(table),
            "foreign keys": sorted(map(str, inspector.get_foreign_keys(table))),
            "unique": sorted(map(str, inspector.get_unique_constraints(table))),
            "indexes": sorted(map(str, inspector.get_indexes(table))),
            "options": inspector.get_table_options(table),
        }
        for table in inspector.get_table_names()
    }
