"""What a ``Database`` promises on SQLite it promises on MariaDB."""

from __future__ import annotations

from sqlalchemy import Engine

from imd.storage.sql_mysql import open_mysql
from tests.live.mariadb import new_database
from tests.storage import test_sql


class Transactions(test_sql.Transactions):
    """See there."""

    def engine(self) -> Engine:
        engine = open_mysql(new_database(self), connections=2)
        self.addCleanup(engine.dispose)
        test_sql.SCHEMA.create_all(engine)
        return engine
