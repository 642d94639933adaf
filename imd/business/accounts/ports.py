"""Where accounts and logins are kept, and who hears of revocations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from imd.business.accounts.login_rules import LoginRules
from imd.business.accounts.model import Account, Ended, Login, Revocation, Sessions
from imd.business.accounts.states import Act
from imd.business.relations.ports import Changed


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


class StateChange(NamedTuple):
    """An account as it is after an act, and all that ended or became different by it."""

    account: Account
    login_ids: Sequence[str] = ()
    changed: Sequence[Changed] = ()


class AccountState(NamedTuple):
    """How an account stands, since when, and why, for operators."""

    account: Account
    since_ms: int
    reason: str


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
        self, login: Login, *, rules: LoginRules, verified_hash: str, new_hash: str = ""
    ) -> Sequence[Ended] | None:
        """Set the login of its device, and the re-made hash if there is one; answers with the logins
        that ended by it, as ``login_rules`` has it, or raises ``TooManyDevices``.
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


class People(Protocol):
    """What users say of themselves. All raise ``ServerBusy``, ``edit`` also ``OutcomeUnknown``."""

    async def edit(self, user_id: int, words: Mapping[str, str]) -> Account:
        """Set these of ``display_name``, ``about`` and ``avatar_url``; the account as it is then."""
        ...

    async def by_ids(self, user_ids: Sequence[int]) -> Sequence[Account]:
        """Those of them who are active."""
        ...

    async def starting_with(self, prefix: str, *, limit: int) -> Sequence[Account]:
        """Active users whose folded handle begins so, and who want to be found; by handle."""
        ...


class AccountStates(Protocol):
    """Freezing, thawing and deleting. All raise ``ServerBusy``, the writing ones also ``OutcomeUnknown``."""

    async def state(self, user_id: int) -> AccountState | None: ...

    async def change(self, user_id: int, act: Act, *, reason: str, now_ms: int) -> StateChange | None:
        """Freeze or thaw, and end what has to end; None if there is no such user. What was so already
        changes nothing. ``Forbidden`` as ``states`` has it."""
        ...

    async def set_level(self, user_id: int, level: int) -> bool:
        """Whether there is such a user; what they are let into by it holds from their next login or token on."""
        ...

    async def owned(self, user_id: int, *, limit: int) -> Sequence[str]:
        """Groups of others as well that nobody else owns."""
        ...

    async def delete(self, user_id: int, *, verified_hash: str, now_ms: int) -> StateChange | None:
        """Blank the profile and end everything but the row itself, which keeps handle and id from being used
        again. None, and nothing done, while the user is in a group or has friends, or if the password is
        another one by now."""
        ...


class Ban(NamedTuple):
    """A device that is kept out at an address."""

    device_id: str
    address_key: str
    failures: int
    until_ms: int


class DeviceBanList(Protocol):
    """Failures and bans. All raise ``ServerBusy``, the writing ones also ``OutcomeUnknown``."""

    async def banned_until(self, device_id: str, address_key: str) -> int:
        """0 if it never was."""
        ...

    async def count(self, device_id: str, address_key: str, now_ms: int, *, window_ms: int) -> int:
        """One more failure; how many there were since the first, which is at most ``window_ms`` ago."""
        ...

    async def bar(
        self, device_id: str, address_key: str, now_ms: int, *, until_ms: int, user_id: int
    ) -> Sequence[str] | None:
        """Bar a counted device; the logins of ``user_id`` on it, which end. None, and nothing done, if it is not to
        be barred, as ``device_bans`` has it, or is already."""
        ...

    async def bans(self, now_ms: int, *, after: tuple[str, str], limit: int) -> Sequence[Ban]: ...

    async def lift(self, device_id: str, address_key: str) -> int:
        """Empty: at all addresses; how many there were."""
        ...

    async def sweep(self, now_ms: int, *, window_ms: int) -> None:
        """Forget failures and bans that are over."""
        ...


class Announcements(Protocol):
    """Tells the other roles what is not true any more. Never raises; tries until it is told."""

    async def revoked(self, revocation: Revocation) -> None:
        """Sessions ended; returns when the event is recorded, or will be tried again."""
        ...
