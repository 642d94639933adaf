"""Failures and bans of devices in SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, bindparam, delete, or_, select, update

from imd.business.accounts.ports import Ban, DeviceBanList
from imd.business.accounts.sql import remember_ended
from imd.business.relations.sql_pairs import lock_people
from imd.business.tables.people import device_bans, logins
from imd.storage.sql import Database, insert_or_lock

_AT = and_(device_bans.c.device_id == bindparam("device"), device_bans.c.address_key == bindparam("address"))
_UNTIL = select(device_bans.c.banned_until_ms).where(_AT)
_FAILURES = select(device_bans.c.failures, device_bans.c.first_failure_at_ms).where(_AT)
_COUNT = (
    update(device_bans)
    .where(_AT)
    .values(failures=bindparam("new_failures"), first_failure_at_ms=bindparam("new_first"))
)
_BAR = (
    update(device_bans)
    .where(_AT, device_bans.c.banned_until_ms <= bindparam("now_ms"))
    .values(banned_until_ms=bindparam("until_ms"))
)
_HOLDERS = select(logins.c.user_id).distinct().where(logins.c.device_id == bindparam("device"))
_LOGIN_IDS = (
    select(logins.c.login_id)
    .where(logins.c.user_id == bindparam("owner"), logins.c.device_id == bindparam("device"))
    .with_for_update()
)
_END = delete(logins).where(logins.c.user_id == bindparam("owner"), logins.c.device_id == bindparam("device"))
_BANS = (
    select(
        device_bans.c.device_id,
        device_bans.c.address_key,
        device_bans.c.failures,
        device_bans.c.banned_until_ms,
    )
    .where(
        device_bans.c.banned_until_ms > bindparam("now_ms"),
        or_(
            device_bans.c.device_id > bindparam("device"),
            and_(
                device_bans.c.device_id == bindparam("device"),
                device_bans.c.address_key > bindparam("address"),
            ),
        ),
    )
    .order_by(device_bans.c.device_id, device_bans.c.address_key)
    .limit(bindparam("most"))
)
_LIFT_ONE = delete(device_bans).where(_AT)
_LIFT_ALL = delete(device_bans).where(device_bans.c.device_id == bindparam("device"))
_SWEEP = delete(device_bans).where(
    device_bans.c.first_failure_at_ms < bindparam("before"),
    device_bans.c.banned_until_ms <= bindparam("now_ms"),
)


class SqlDeviceBans:
    """See ``DeviceBanList``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def banned_until(self, device_id: str, address_key: str) -> int:
        at = {"device": device_id, "address": address_key}
        return await self._database.read(lambda c: c.execute(_UNTIL, at).scalar() or 0)

    async def count(self, device_id: str, address_key: str, now_ms: int, *, window_ms: int) -> int:
        at = {"device": device_id, "address": address_key}
        first = {
            "device_id": device_id,
            "address_key": address_key,
            "failures": 0,
            "first_failure_at_ms": now_ms,
            "banned_until_ms": 0,
        }

        def work(connection: Connection) -> int:
            # From here on the row is ours, so what is read is what is there.
            insert_or_lock(connection, device_bans, [first])
            row = connection.execute(_FAILURES, at).one()
            is_old = row.first_failure_at_ms + window_ms < now_ms
            failures = 1 if is_old else row.failures + 1
            began_ms = now_ms if is_old else row.first_failure_at_ms
            connection.execute(_COUNT, at | {"new_failures": failures, "new_first": began_ms})
            return int(failures)

        return await self._database.write(work)

    async def bar(
        self, device_id: str, address_key: str, now_ms: int, *, until_ms: int, user_id: int
    ) -> Sequence[str] | None:
        at = {"device": device_id, "address": address_key}

        def work(connection: Connection) -> Sequence[str] | None:
            # First, like everybody who ends logins.
            lock_people(connection, (user_id,))
            holders = set(connection.execute(_HOLDERS, {"device": device_id}).scalars())
            if holders - {user_id}:
                return None
            if connection.execute(_BAR, at | {"until_ms": until_ms, "now_ms": now_ms}).rowcount == 0:
                return None
            of_user = {"owner": user_id, "device": device_id}
            login_ids = connection.execute(_LOGIN_IDS, of_user).scalars().all()
            connection.execute(_END, of_user)
            remember_ended(connection, user_id, login_ids, device_id=device_id)
            return login_ids

        return await self._database.write(work)

    async def bans(self, now_ms: int, *, after: tuple[str, str], limit: int) -> Sequence[Ban]:
        page = {"now_ms": now_ms, "device": after[0], "address": after[1], "most": limit}
        rows = await self._database.read(lambda c: c.execute(_BANS, page).all())
        return [Ban(*row) for row in rows]

    async def lift(self, device_id: str, address_key: str) -> int:
        at = {"device": device_id, "address": address_key}

        def work(connection: Connection) -> int:
            if address_key:
                return connection.execute(_LIFT_ONE, at).rowcount
            return connection.execute(_LIFT_ALL, {"device": device_id}).rowcount

        return await self._database.write(work)

    async def sweep(self, now_ms: int, *, window_ms: int) -> None:
        over = {"before": now_ms - window_ms, "now_ms": now_ms}
        await self._database.write(lambda c: c.execute(_SWEEP, over).rowcount)


_: type[DeviceBanList] = SqlDeviceBans
