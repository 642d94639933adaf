"""Use case: is this token good, now, on this device? And the making of tokens."""

from __future__ import annotations

from imd.business.accounts.model import DEFAULT_SCOPES, Account, Caller, Login, Session, Sessions
from imd.business.accounts.sessions import SessionCache
from imd.business.accounts.tokens import Claims, Tokens
from imd.kernel.errors import AuthFailed


class Authenticate:
    """Signature and times first, which cost no I/O; then whether the login still counts."""

    def __init__(self, *, tokens: Tokens, sessions: SessionCache) -> None:
        self._tokens = tokens
        self._sessions = sessions

    async def caller(self, token: str) -> Caller:
        """Whose token this is; AuthFailed if it is not, or no longer, good."""
        claims = self._tokens.check(token)
        sessions = await self._sessions.of(claims.user_id)
        if not _counts(sessions, claims):
            # Another node may have made it since this one has looked.
            age_s = self._tokens.now_s() - claims.issued_at_s
            sessions = await self._sessions.newer_than(claims.user_id, age_s)
            if not _counts(sessions, claims):
                raise AuthFailed("this login has ended; log in again")
        return _caller(claims, level=sessions.level if sessions is not None else 0)

    async def on_device(self, token: str, device_id: str) -> Caller:
        """The same, and the token was made for this very device."""
        caller = await self.caller(token)
        if caller.device_id != device_id:
            raise AuthFailed("this token belongs to another device")
        return caller


def _counts(sessions: Sessions | None, claims: Claims) -> bool:
    return (
        sessions is not None
        and sessions.active
        and sessions.token_version == claims.token_version
        and sessions.logins.get(claims.device_id) == claims.login_id
    )


def _caller(claims: Claims, *, level: int) -> Caller:
    expires_at_ms = claims.expires_at_s * 1000
    return Caller(claims.user_id, claims.device_id, claims.login_id, claims.scopes, expires_at_ms, level)


class Issue:
    """Tokens for logins: each lives ``token_ttl_s``, none longer than its login."""

    def __init__(self, *, tokens: Tokens, token_ttl_s: int, login_ttl_s: int) -> None:
        self._tokens = tokens
        self._token_ttl_s = token_ttl_s
        self._login_ttl_s = login_ttl_s

    def now_s(self) -> int:
        """Seconds since 1970, by the clock that tokens go by."""
        return self._tokens.now_s()

    def login_ends_at_s(self, login: Login) -> int:
        """When even refreshing is over, and the password is asked again."""
        return login.created_at_ms // 1000 + self._login_ttl_s

    def session(self, account: Account, login: Login) -> Session:
        """A fresh token for a login."""
        login_ends_at_s = self.login_ends_at_s(login)
        expires_at_s = min(self._tokens.now_s() + self._token_ttl_s, login_ends_at_s)
        token = self._tokens.make(
            user_id=account.user_id,
            device_id=login.device_id,
            scopes=DEFAULT_SCOPES,
            expires_at_s=expires_at_s,
            login_id=login.login_id,
            token_version=account.token_version,
        )
        return Session(account, login.device_id, token, expires_at_s * 1000, login_ends_at_s * 1000)
