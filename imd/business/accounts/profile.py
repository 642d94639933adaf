"""Use cases: who am I, who is that, and what do I say of myself?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from imd.business.accounts.model import (
    ACTIVE,
    Account,
    Caller,
    Login,
    check_about,
    check_avatar_url,
    check_display_name,
    check_prefix,
    fold_handle,
)
from imd.business.accounts.ports import Accounts, People
from imd.business.relations.model import not_accepted
from imd.kernel.attempts import Attempts
from imd.kernel.errors import AuthFailed, PayloadInvalid

#: People asked for by id in one request.
IDS_PER_REQUEST = 100
#: More than fit on a screen; whoever is not among them is found by a longer beginning.
FOUND_AT_MOST = 20


class NoSuchUser(PayloadInvalid):
    """Nobody has this handle (any more)."""


class Profile(NamedTuple):
    """What a user sees of themselves."""

    account: Account
    logins: Sequence[Login]


class Profiles:
    """Reads about people, and what they write about themselves.

    :param lookups: how often each user may ask for people by handle or id.
    :param searches: how often by the beginning of a handle.
    """

    def __init__(self, *, accounts: Accounts, people: People, lookups: Attempts, searches: Attempts) -> None:
        self._accounts = accounts
        self._people = people
        self._lookups = lookups
        self._searches = searches

    async def me(self, caller: Caller) -> Profile:
        """The caller and their devices."""
        stored = await self._accounts.by_id(caller.user_id)
        if stored is None:
            raise AuthFailed("this login has ended; log in again")
        return Profile(stored.account, await self._accounts.logins_of(caller.user_id))

    async def edit(
        self,
        caller: Caller,
        *,
        display_name: str | None = None,
        about: str | None = None,
        avatar_url: str | None = None,
    ) -> Profile:
        """Set what is given; an empty name is the handle again."""
        profile = await self.me(caller)
        words: dict[str, str] = {}
        if display_name is not None:
            words["display_name"] = check_display_name(display_name, profile.account.handle)
        if about is not None:
            words["about"] = check_about(about)
        if avatar_url is not None:
            words["avatar_url"] = check_avatar_url(avatar_url)
        return profile._replace(account=await self._people.edit(caller.user_id, words))

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
            raise not_accepted()
        return stored.account

    async def of_many(self, caller: Caller, user_ids: Sequence[int]) -> Sequence[Account]:
        """Those of them who are there; ids are handed out by friend lists and members, so it counts as one."""
        if not 1 <= len(user_ids) <= IDS_PER_REQUEST:
            raise PayloadInvalid(f"ids must be 1 to {IDS_PER_REQUEST} user ids", field="ids")
        self._lookups.check(str(caller.user_id))
        return await self._people.by_ids(user_ids)

    async def search(self, caller: Caller, prefix: str) -> Sequence[Account]:
        """People whose handle begins so and who want to be found; one more than ``FOUND_AT_MOST`` tells that
        there are more, and there is no next page."""
        prefix = check_prefix(prefix)
        self._searches.check(str(caller.user_id))
        return await self._people.starting_with(prefix, limit=FOUND_AT_MOST + 1)
