"""The operations about people and their tokens."""

from __future__ import annotations

from imd.business.accounts.enter import LogIn, Refresh, Register
from imd.business.accounts.leave import ChangePassword, LogOut
from imd.business.accounts.model import Account, Login, Session
from imd.business.accounts.profile import Profile, Profiles
from imd.business.rest.bodies import (
    DeviceAnswer,
    Done,
    LoginBody,
    LogoutBody,
    MeAnswer,
    PasswordBody,
    RegisterBody,
    SessionAnswer,
    UserAnswer,
)
from imd.business.rest.operation import Asked, Operation, Parameter
from imd.kernel.errors import PayloadInvalid

HANDLE = Parameter("handle", {"type": "string"}, "A user's handle; upper and lower case are the same.")


class AccountApi:
    """Bodies in, use cases, answers out."""

    def __init__(
        self,
        *,
        register: Register,
        log_in: LogIn,
        refresh: Refresh,
        log_out: LogOut,
        change_password: ChangePassword,
        profiles: Profiles,
        refresh_below_s: int,
    ) -> None:
        self._register = register
        self._log_in = log_in
        self._refresh = refresh
        self._log_out = log_out
        self._change_password = change_password
        self._profiles = profiles
        self._refresh_below_ms = refresh_below_s * 1000

    def operations(self) -> list[Operation]:
        """All of them."""
        post, get = "POST", "GET"
        return [
            Operation(post, "/register", "register", "Make an account and log in on a first device",
                      self.register, SessionAnswer, body=RegisterBody, status=201, public=True),
            Operation(post, "/login", "login", "Get a token for handle and password",
                      self.log_in, SessionAnswer, body=LoginBody, public=True),
            Operation(post, "/refresh", "refresh", "Get a new token for one that soon runs out",
                      self.refresh, SessionAnswer),
            Operation(post, "/logout", "logout", "End the login of one device, or all",
                      self.log_out, Done, body=LogoutBody, body_required=False),
            Operation(post, "/password", "changePassword", "Change the password; ends all other logins",
                      self.change_password, SessionAnswer, body=PasswordBody),
            Operation(get, "/me", "me", "Who am I, and where am I logged in?", self.me, MeAnswer),
            Operation(get, "/users/{handle}", "findUser", "Find somebody to write to",
                      self.find, UserAnswer, path_parameters=(HANDLE,)),
        ]  # fmt: skip

    async def register(self, asked: Asked) -> SessionAnswer:
        body: RegisterBody = asked.body
        session = await self._register(
            handle=body.handle,
            password=body.password,
            display_name=body.displayName,
            device_id=body.deviceId,
            platform=body.platform,
            address=asked.address,
        )
        return self._session(session)

    async def log_in(self, asked: Asked) -> SessionAnswer:
        body: LoginBody = asked.body
        session = await self._log_in(
            handle=body.handle,
            password=body.password,
            device_id=body.deviceId,
            platform=body.platform,
            address=asked.address,
        )
        return self._session(session)

    async def refresh(self, asked: Asked) -> SessionAnswer:
        return self._session(await self._refresh(asked.caller))

    async def log_out(self, asked: Asked) -> Done:
        body: LogoutBody = asked.body or LogoutBody()
        if not body.everywhere:
            await self._log_out.device(asked.caller, body.deviceId)
        elif body.deviceId:
            raise PayloadInvalid("give deviceId or everywhere, not both", field="deviceId")
        else:
            await self._log_out.everywhere(asked.caller)
        return Done()

    async def change_password(self, asked: Asked) -> SessionAnswer:
        body: PasswordBody = asked.body
        session = await self._change_password(
            asked.caller,
            old_password=body.oldPassword,
            new_password=body.newPassword,
            address=asked.address,
        )
        return self._session(session)

    async def me(self, asked: Asked) -> MeAnswer:
        return me_answer(asked, await self._profiles.me(asked.caller))

    async def find(self, asked: Asked) -> UserAnswer:
        return user_answer(await self._profiles.find(asked.caller, asked.path["handle"]))

    def _session(self, session: Session) -> SessionAnswer:
        return session_answer(session, self._refresh_below_ms)


def session_answer(session: Session, refresh_below_ms: int) -> SessionAnswer:
    """A login as its owner gets it."""
    account = session.account
    return SessionAnswer(
        str(account.user_id),
        account.handle,
        account.display_name,
        session.device_id,
        session.token,
        session.expires_at_ms,
        session.expires_at_ms - refresh_below_ms,
        session.login_expires_at_ms,
    )


def device_answer(asked: Asked, login: Login) -> DeviceAnswer:
    """A device of the caller's."""
    return DeviceAnswer(
        login.device_id,
        login.platform,
        login.created_at_ms,
        login.refreshed_at_ms,
        login.device_id == asked.caller.device_id,
    )


def me_answer(asked: Asked, profile: Profile) -> MeAnswer:
    """The caller."""
    account = profile.account
    return MeAnswer(
        str(account.user_id),
        account.handle,
        account.display_name,
        account.created_at_ms,
        [device_answer(asked, login) for login in profile.logins],
        account.about,
        account.avatar_url,
    )


def user_answer(account: Account) -> UserAnswer:
    """Somebody, as everybody sees them."""
    return UserAnswer(
        str(account.user_id), account.handle, account.display_name, account.about, account.avatar_url
    )
