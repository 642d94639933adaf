"""Use cases: log out, change the password: the ways in which tokens end early."""

from __future__ import annotations

from imd.business.accounts.authenticate import Issue
from imd.business.accounts.device_bans import DeviceBans
from imd.business.accounts.model import (
    PASSWORD_MAX_LENGTH,
    Account,
    Caller,
    Revocation,
    Session,
    check_new_password,
)
from imd.business.accounts.passwords import Passwords
from imd.business.accounts.ports import Accounts, Announcements
from imd.business.accounts.sessions import SessionCache
from imd.kernel.attempts import Attempts, address_key
from imd.kernel.errors import AuthFailed, OutcomeUnknown, PayloadInvalid
from imd.kernel.ids import check_id


class Revoke:
    """Ends logins, and has everybody told, also where nobody knows whether it was done.

    Who is told in vain loses a connection, and comes back with the token that is still good.
    """

    def __init__(self, *, accounts: Accounts, sessions: SessionCache, announcements: Announcements) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._announcements = announcements

    async def __call__(
        self, revocation: Revocation, *, verified_hash: str = "", new_hash: str = ""
    ) -> Account | None:
        """The account as it is then; None as ``Accounts.end_logins`` has it, and then nobody is told."""
        try:
            ending = await self._accounts.end_logins(
                revocation.user_id,
                revocation.device_id,
                except_device_id=revocation.except_device_id,
                verified_hash=verified_hash,
                new_hash=new_hash,
            )
        except OutcomeUnknown:
            await self._tell(revocation)
            raise
        if ending is None:
            return None
        await self._tell(revocation._replace(login_ids=ending.login_ids))
        return ending.account

    async def _tell(self, revocation: Revocation) -> None:
        self._sessions.forget(revocation.user_id)
        await self._announcements.revoked(revocation)


class LogOut:
    """The end of one login of the caller's, or of all."""

    def __init__(self, *, accounts: Accounts, sessions: SessionCache, announcements: Announcements) -> None:
        self._revoke = Revoke(accounts=accounts, sessions=sessions, announcements=announcements)

    async def device(self, caller: Caller, device_id: str) -> None:
        """End the login on one device; empty: the caller's own. Ended ones may be ended again."""
        device_id = check_id(device_id or caller.device_id, "deviceId")
        await self._revoke(Revocation(caller.user_id, device_id, "", "logged_out"))

    async def everywhere(self, caller: Caller) -> None:
        """End every login, and every token there is."""
        await self._revoke(Revocation(caller.user_id, "", "", "logged_out"))


class ChangePassword:
    """A new password; all other devices must log in with it."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        passwords: Passwords,
        issue: Issue,
        sessions: SessionCache,
        announcements: Announcements,
        attempts: Attempts,
        bans: DeviceBans,
        password_min_length: int,
    ) -> None:
        self._accounts = accounts
        self._passwords = passwords
        self._issue = issue
        self._revoke = Revoke(accounts=accounts, sessions=sessions, announcements=announcements)
        self._attempts = attempts
        self._bans = bans
        self._password_min_length = password_min_length

    async def __call__(
        self, caller: Caller, *, old_password: str, new_password: str, address: str
    ) -> Session:
        stored = await self._accounts.by_id(caller.user_id)
        if stored is None:
            raise AuthFailed("this login has ended; log in again")
        handle = stored.account.handle
        check_new_password(
            new_password, min_length=self._password_min_length, handle=handle, field="newPassword"
        )
        if len(old_password) > PASSWORD_MAX_LENGTH:
            raise PayloadInvalid("oldPassword is wrong", field="oldPassword")
        # The same budget as for logins: a stolen token must not buy more guesses.
        key = f"{handle} {address_key(address)}"
        self._attempts.check(key)
        if not await self._passwords.matches(stored.password_hash, old_password):
            await self._bans.failed(caller.device_id, address, user_id=caller.user_id)
            raise PayloadInvalid("oldPassword is wrong", field="oldPassword")
        self._attempts.forget(key)
        account = await self._revoke(
            Revocation(caller.user_id, "", caller.device_id, "password_changed"),
            verified_hash=stored.password_hash,
            new_hash=await self._passwords.hash(new_password),
        )
        if account is None:
            # Somebody was faster: with the same old password, but another new one.
            raise PayloadInvalid("oldPassword is wrong", field="oldPassword")
        logins = await self._accounts.logins_of(caller.user_id)
        login = next((one for one in logins if one.login_id == caller.login_id), None)
        if login is None:
            raise AuthFailed("this login has ended; log in again")
        return self._issue.session(account, login)
