"""Use cases: who am I, where am I logged in, who is that?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from imd.business.accounts.model import ACTIVE, Account, Caller, Login, fold_handle
from imd.business.accounts.ports import Accounts
from imd.business.attempts import Attempts
from imd.kernel.errors import AuthFailed, Forbidden, PayloadInvalid


class NoSuchUser(PayloadInvalid):
    """Nobody has this handle (any more)."""


class Profile(NamedTuple):
    """What a user sees of themselves."""

    account: Account
    logins: Sequence[Login]


class Profiles:
    """Reads about people."""

    def __init__(self, *, accounts: Accounts, lookups: Attempts) -> None:
        self._accounts = accounts
        self._lookups = lookups

    async def me(self, caller: Caller) -> Profile:
        """The caller and their devices."""
        stored = await self._accounts.by_id(caller.user_id)
        if stored is None:
            raise AuthFailed("this login has ended; log in again")
        return Profile(stored.account, await self._accounts.logins_of(caller.user_id))

    async def find(self, caller: Caller, handle: str) -> Account:
        """Somebody to write to; counted, so that nobody reads out the whole directory."""
        self._lookups.check(str(caller.user_id))
        stored = await self._accounts.by_handle(fold_handle(handle))
        if stored is None or stored.account.status != ACTIVE:
            raise NoSuchUser("nobody has this handle", field="handle")
        return stored.account

    async def of(self, caller: Caller, user_id: int) -> Account:
        """Somebody by their id, counted too; Forbidden if there is nobody."""
        self._lookups.check(str(caller.user_id))
        stored = await self._accounts.by_id(user_id)
        if stored is None or stored.account.status != ACTIVE:
            raise Forbidden("there is no such user", field="userId")
        return stored.account
