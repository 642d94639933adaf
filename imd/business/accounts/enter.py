"""Use cases: register, log in, refresh: the ways to a token."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from imd.business.accounts.authenticate import Issue
from imd.business.accounts.device_bans import DeviceBans
from imd.business.accounts.login_rules import LoginRules, TooManyDevices
from imd.business.accounts.model import (
    ACTIVE,
    PASSWORD_MAX_LENGTH,
    PLATFORM_MAX_LENGTH,
    Account,
    Caller,
    Login,
    Revocation,
    Session,
    check_display_name,
    check_new_password,
    fold_handle,
)
from imd.business.accounts.passwords import Passwords
from imd.business.accounts.ports import Accounts, Announcements, HandleTaken
from imd.business.accounts.sessions import SessionCache
from imd.kernel.attempts import Attempts, address_key
from imd.kernel.clocks import WallClock
from imd.kernel.errors import AuthFailed, Forbidden, OutcomeUnknown, PayloadInvalid, RateLimited
from imd.kernel.ids import Snowflake, check_id

_WRONG = "handle or password is wrong"
_AGAIN = "logged_in_again"


def new_login(user_id: int, device_id: str, platform: str, now_ms: int, address: str = "") -> Login:
    """A login that begins now, from an address."""
    check_id(device_id, "deviceId")
    if len(platform) > PLATFORM_MAX_LENGTH or not platform.isprintable():
        raise PayloadInvalid(f"platform must be at most {PLATFORM_MAX_LENGTH} characters", field="platform")
    login_id = secrets.token_hex(16)
    return Login(user_id, device_id, login_id, platform, now_ms, now_ms, address_key(address))


class Register:
    """A new account, and its first login."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        passwords: Passwords,
        issue: Issue,
        ids: Snowflake,
        wall_clock: WallClock,
        by_address: Attempts,
        bans: DeviceBans,
        is_open_to_all: Callable[[], bool],
        password_min_length: int,
    ) -> None:
        self._accounts = accounts
        self._passwords = passwords
        self._issue = issue
        self._ids = ids
        self._wall_clock = wall_clock
        self._by_address = by_address
        self._bans = bans
        self._is_open_to_all = is_open_to_all
        self._password_min_length = password_min_length

    async def __call__(
        self, *, handle: str, password: str, display_name: str, device_id: str, platform: str, address: str
    ) -> Session:
        if not self._is_open_to_all():
            raise Forbidden("registration is closed here")
        handle = fold_handle(handle)
        display_name = check_display_name(display_name, handle)
        check_new_password(password, min_length=self._password_min_length, handle=handle)
        now_ms = self._wall_clock()
        account = Account(self._ids.next(), handle, display_name, ACTIVE, 1, now_ms)
        login = new_login(account.user_id, device_id, platform, now_ms, address)
        self._by_address.check(address_key(address))
        await self._bans.check(device_id, address)
        if await self._accounts.by_handle(handle) is not None:
            raise _taken()
        password_hash = await self._passwords.hash(password)
        try:
            await self._accounts.add(account, password_hash, login)
        except HandleTaken:
            raise _taken() from None
        return self._issue.session(account, login)


def _taken() -> PayloadInvalid:
    return PayloadInvalid("this handle is taken", field="handle")


class LogIn:
    """A token for a handle and its password. What was logged in on the same device before, ends."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        passwords: Passwords,
        issue: Issue,
        sessions: SessionCache,
        announcements: Announcements,
        wall_clock: WallClock,
        attempts: Attempts,
        bans: DeviceBans,
        rules: LoginRules,
    ) -> None:
        self._accounts = accounts
        self._passwords = passwords
        self._issue = issue
        self._sessions = sessions
        self._announcements = announcements
        self._wall_clock = wall_clock
        self._attempts = attempts
        self._bans = bans
        self._rules = rules

    async def __call__(
        self, *, handle: str, password: str, device_id: str, platform: str, address: str
    ) -> Session:
        handle = fold_handle(handle)
        if len(password) > PASSWORD_MAX_LENGTH:
            raise AuthFailed(_WRONG)
        new_login(0, device_id, platform, 0)
        key = f"{handle} {address_key(address)}"
        self._attempts.check(key)
        await self._bans.check(device_id, address)
        stored = await self._accounts.by_handle(handle)
        right = await self._passwords.matches(stored and stored.password_hash, password)
        # A frozen account is told apart only to whoever knows its password.
        if stored is None or not right:
            await self._bans.failed(device_id, address)
            raise AuthFailed(_WRONG)
        if stored.account.status != ACTIVE:
            raise AuthFailed("this account is frozen", reason="frozen")
        self._attempts.forget(key)
        new_hash = ""
        if self._passwords.is_outdated(stored.password_hash):
            new_hash = await self._passwords.hash(password)
        user_id = stored.account.user_id
        login = new_login(user_id, device_id, platform, self._wall_clock(), address)
        await self._put(login, verified_hash=stored.password_hash, new_hash=new_hash)
        return self._issue.session(stored.account, login)

    async def _put(self, login: Login, *, verified_hash: str, new_hash: str) -> None:
        user_id, device_id = login.user_id, login.device_id
        try:
            ended = await self._accounts.put_login(
                login, rules=self._rules, verified_hash=verified_hash, new_hash=new_hash
            )
        except TooManyDevices as error:
            raise Forbidden(str(error), field="platform", reason="too_many_devices") from None
        except OutcomeUnknown:
            # The old login of this device may be over; its owner is about to make a new one.
            self._sessions.forget(user_id)
            await self._announcements.revoked(Revocation(user_id, device_id, "", _AGAIN))
            raise
        if ended is None:
            # Changed, or frozen, while the hash was computed.
            raise AuthFailed(_WRONG)
        self._sessions.forget(user_id)
        for one in ended:
            reason = _AGAIN if one.device_id == device_id else "too_many_devices"
            await self._announcements.revoked(Revocation(user_id, one.device_id, "", reason, [one.login_id]))


class Refresh:
    """A new token for one that soon runs out, as long as the login lasts."""

    def __init__(
        self, *, accounts: Accounts, issue: Issue, wall_clock: WallClock, refresh_below_s: int
    ) -> None:
        self._accounts = accounts
        self._issue = issue
        self._wall_clock = wall_clock
        self._refresh_below_ms = refresh_below_s * 1000

    async def __call__(self, caller: Caller) -> Session:
        now_ms = self._wall_clock()
        too_early_ms = caller.expires_at_ms - now_ms - self._refresh_below_ms
        if too_early_ms > 0:
            raise RateLimited(
                f"this token may be refreshed in {(too_early_ms + 999) // 1000} s",
                retry_after_ms=too_early_ms,
            )
        stored = await self._accounts.by_id(caller.user_id)
        logins = await self._accounts.logins_of(caller.user_id)
        login = next((one for one in logins if one.login_id == caller.login_id), None)
        if stored is None or login is None:
            raise AuthFailed("this login has ended; log in again")
        if self._issue.login_ends_at_s(login) * 1000 <= max(now_ms, caller.expires_at_ms):
            raise AuthFailed("this login is too old; log in again with the password")
        if not await self._accounts.touch_login(login._replace(refreshed_at_ms=now_ms)):
            raise AuthFailed("this login has ended; log in again")
        return self._issue.session(stored.account, login)
