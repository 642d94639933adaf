"""Use cases: where am I logged in, and the end of it elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from imd.business.accounts.authenticate import Issue
from imd.business.accounts.leave import Revoke
from imd.business.accounts.model import Caller, Login, Revocation, Session
from imd.business.accounts.ports import Accounts
from imd.kernel.errors import AuthFailed
from imd.kernel.ids import check_id


class Devices:
    """The caller's logins, one a device."""

    def __init__(self, *, accounts: Accounts, issue: Issue, revoke: Revoke) -> None:
        self._accounts = accounts
        self._issue = issue
        self._revoke = revoke

    async def all_of(self, caller: Caller) -> Sequence[Login]:
        """The newest refreshed first; those that nothing can refresh any more are left out."""
        now_s = self._issue.now_s()
        logins = await self._accounts.logins_of(caller.user_id)
        return [login for login in logins if self._issue.login_ends_at_s(login) > now_s]

    async def sign_out(self, caller: Caller, device_id: str) -> None:
        """End the login of one device, maybe this one. Ended ones may be ended again."""
        device_id = check_id(device_id, "deviceId")
        await self._revoke(Revocation(caller.user_id, device_id, "", "signed_out"))

    async def sign_out_others(self, caller: Caller) -> Session:
        """End all logins but this one, and every token there is; so this device gets a new one."""
        account = await self._revoke(Revocation(caller.user_id, "", caller.device_id, "signed_out"))
        logins = await self._accounts.logins_of(caller.user_id)
        login = next((one for one in logins if one.login_id == caller.login_id), None)
        if account is None or login is None:
            raise AuthFailed("this login has ended; log in again")
        return self._issue.session(account, login)
