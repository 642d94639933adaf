"""Commands of a node that has accounts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from imd.business.accounts.model import ACTIVE, Account, fold_handle
from imd.business.accounts.passwords import Passwords
from imd.business.accounts.ports import Accounts
from imd.business.accounts.sessions import SessionCache
from imd.kernel.attempts import Attempts
from imd.ops.manhole.table import DEFAULT_ROWS, Table, facts
from imd.roles.manhole.node import clock_time
from imd.storage.sql import Database


class BusinessInside(NamedTuple):
    """Of the role, what operators look at."""

    accounts: Accounts
    sessions: SessionCache
    passwords: Passwords
    database: Database
    #: By what is counted.
    attempts: Mapping[str, Attempts]


class BusinessCommands:
    """See ``commands``."""

    def __init__(self, inside: BusinessInside) -> None:
        self._inside = inside

    async def account(self, user: int | str) -> Table:
        """An account, by id or handle; nothing that is secret."""
        found = await self._account(user)
        return facts(
            f"user {found.user_id}",
            [
                ("handle", found.handle),
                ("name", found.display_name),
                ("status", "active" if found.status == ACTIVE else found.status),
                ("made", clock_time(found.created_at_ms)),
                ("token version", found.token_version),
            ],
        )

    async def logins(self, user: int | str, limit: int = DEFAULT_ROWS) -> Table:
        """Where a user is logged in, connected or not."""
        found = await self._account(user)
        return Table(
            ("device", "platform", "from", "since", "refreshed"),
            (
                (
                    each.device_id,
                    each.platform,
                    each.address_key,
                    clock_time(each.created_at_ms),
                    clock_time(each.refreshed_at_ms),
                )
                for each in await self._inside.accounts.logins_of(found.user_id)
            ),
            title=f"user {found.user_id}, {found.handle}",
            limit=limit,
        )

    def pools(self) -> Table:
        """What waits for threads, and what is kept in memory."""
        inside = self._inside
        return facts(
            "pools and caches",
            [
                ("database calls that run or wait", inside.database.in_flight),
                ("passwords that may be hashed or wait", inside.passwords.free),
                ("users whose logins are known", len(inside.sessions)),
                *((f"counted: {what}", len(attempts)) for what, attempts in inside.attempts.items()),
            ],
        )

    async def id_of(self, handle: str) -> int:
        """The user of a handle."""
        return (await self._account(handle)).user_id

    async def _account(self, user: int | str) -> Account:
        accounts = self._inside.accounts
        found = await (
            accounts.by_id(user) if isinstance(user, int) else accounts.by_handle(fold_handle(user))
        )
        if found is None:
            raise ValueError(f"there is no user {user!r}")
        return found.account

    def commands(self) -> dict[str, Callable[..., object]]:
        """By the names that operators type, beside those of a node with connections."""
        return {"account": self.account, "logins": self.logins, "pools": self.pools}

    def commands_alone(self) -> dict[str, Callable[..., object]]:
        """The same where there is no such node in the process: under the names that are typed everywhere."""
        return {"sessions": self.logins, "who": self.account, "pools": self.pools}
