"""Where accounts and logins are kept, and who hears of revocations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from imd.business.accounts.model import Account, Ended, Login, Revocation, Sessions


class HandleTaken(Exception):
    """Somebody has this handle already."""


class StoredPassword(NamedTuple):
    """An account together with what proves that it is them."""

    account: Account
    password_hash: str

    def __repr__(self) -> str:
        return f"StoredPassword({self.account!r})"


class Ending(NamedTuple):
    """What ``Accounts.end_logins`` did: the account as it is then, and the logins that ended."""

    account: Account
    login_ids: Sequence[str]


class Accounts(Protocol):
    """Users and their logins, one row a (user, device).

    Every method may raise ``ServerBusy`` (nothing was done) and every writing one also
    ``OutcomeUnknown``. What a write returns is durable.
    """

    async def add(self, account: Account, password_hash: str, login: Login) -> None:
        """A new user, logged in on a first device; ``HandleTaken`` if the handle is not free."""
        ...

    async def by_handle(self, handle: str) -> StoredPassword | None:
        """The user of a folded handle, whatever its status."""
        ...

    async def by_id(self, user_id: int) -> StoredPassword | None:
        """The user of an id, whatever its status."""
        ...

    async def logins_of(self, user_id: int) -> Sequence[Login]:
        """Every login of a user, the newest refreshed first."""
        ...

    async def put_login(
        self, login: Login, *, max_logins: int, verified_hash: str, new_hash: str = ""
    ) -> Sequence[Ended] | None:
        """Set the login of its device, and the re-made hash if there is one; answers with the logins
        that ended by it: the same device's old one, and the stalest above ``max_logins``.
        None, and nothing done, if ``verified_hash`` is not the password's any more or the user not active."""
        ...

    async def touch_login(self, login: Login) -> bool:
        """Note that a login was refreshed; False if it is not there any more."""
        ...

    async def end_logins(
        self,
        user_id: int,
        device_id: str = "",
        *,
        except_device_id: str = "",
        verified_hash: str = "",
        new_hash: str = "",
    ) -> Ending | None:
        """End one device's login, or all but one and with them every token made so far (the version
        rises), and set a new password hash if there is one. None, and nothing done, if there is no
        such user or ``verified_hash`` is not what the new one replaces."""
        ...

    async def sessions(self, user_ids: Sequence[int]) -> Mapping[int, Sessions]:
        """What decides about these users' tokens; unknown users are left out."""
        ...


class Announcements(Protocol):
    """Tells the other roles what is not true any more. Never raises; tries until it is told."""

    async def revoked(self, revocation: Revocation) -> None:
        """Sessions ended; returns when the event is recorded, or will be tried again."""
        ...
