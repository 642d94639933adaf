"""Operators in SQL. Rows stay when they are revoked: the audit names their ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Column, Connection, Engine, Integer, Row, String, Table, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from imd.admin.operators.ports import Listed
from imd.kernel.errors import ServerBusy
from imd.ops.operators import BOOTSTRAP, MAX_OPERATOR_ID, Operator, Role
from imd.storage.sql import MYSQL_TABLE, TRIES, Database, Id, metadata

SCHEMA = metadata()

operators = Table(
    "admin_operators",
    SCHEMA,
    Column("operator_id", Integer, primary_key=True, autoincrement=False),
    Column("name", String(64), nullable=False),
    Column("role", String(16), nullable=False),
    #: SHA-256 in hexadecimal.
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("created_at_ms", Id, nullable=False),
    Column("created_by", String(64), nullable=False),
    Column("revoked_at_ms", Id, nullable=False),
    Column("revoked_by", String(64), nullable=False),
    **MYSQL_TABLE,
)


def revoke_all(engine: Engine, *, by: str, now_ms: int) -> int:
    """Nobody who is kept here is an operator any more; how many were."""
    with engine.begin() as connection:
        revoked = update(operators).where(operators.c.revoked_at_ms == 0)
        return connection.execute(revoked.values(revoked_at_ms=now_ms, revoked_by=by)).rowcount


class SqlOperators:
    """See ``OperatorStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, token_hash: bytes) -> Operator | None:
        return await self._database.read(lambda connection: _find(connection, token_hash))

    async def add(self, name: str, role: Role, token_hash: bytes, *, by: str, now_ms: int) -> Listed | None:
        values = {
            "name": name,
            "role": role.value,
            "token_hash": token_hash.hex(),
            "created_at_ms": now_ms,
            "created_by": by,
            "revoked_at_ms": 0,
            "revoked_by": "",
        }
        for _ in range(TRIES):
            try:
                return await self._database.write(lambda connection: _add(connection, values))
            except IntegrityError:
                # Somebody else has got the id.
                continue
        raise ServerBusy("others are made at the same time; try again", retry_after_ms=100)

    async def all(self) -> Sequence[Listed]:
        def rows(connection: Connection) -> list[Listed]:
            return [
                _listed(row)
                for row in connection.execute(select(operators).order_by(operators.c.operator_id))
            ]

        return await self._database.read(rows)

    async def revoke(self, operator_id: int, *, by: str, now_ms: int) -> Listed | None:
        def revoke(connection: Connection) -> Listed | None:
            one = operators.c.operator_id == operator_id
            connection.execute(
                update(operators)
                .where(one, operators.c.revoked_at_ms == 0)
                .values(revoked_at_ms=now_ms, revoked_by=by)
            )
            row = connection.execute(select(operators).where(one)).one_or_none()
            return None if row is None else _listed(row)

        return await self._database.write(revoke)


def _find(connection: Connection, token_hash: bytes) -> Operator | None:
    row = connection.execute(
        select(operators).where(operators.c.token_hash == token_hash.hex(), operators.c.revoked_at_ms == 0)
    ).one_or_none()
    return None if row is None else _listed(row).operator


def _add(connection: Connection, values: Mapping[str, object]) -> Listed | None:
    same = select(operators.c.operator_id).where(
        operators.c.name == values["name"], operators.c.revoked_at_ms == 0
    )
    if connection.execute(same.with_for_update()).first() is not None:
        return None
    newest = connection.execute(select(func.max(operators.c.operator_id))).scalar() or BOOTSTRAP.id
    if newest + 1 >= MAX_OPERATOR_ID:
        raise ServerBusy("there is no id left for another operator")
    row = {"operator_id": newest + 1, **values}
    connection.execute(insert(operators).values(row))
    return _listed(connection.execute(select(operators).where(operators.c.operator_id == newest + 1)).one())


def _listed(row: Row[tuple[object, ...]]) -> Listed:
    return Listed(
        Operator(row.operator_id, row.name, Role(row.role)),
        row.created_at_ms,
        row.created_by,
        row.revoked_at_ms,
        row.revoked_by,
    )
