"""Signed tokens: one algorithm, one key, one purpose a kind; nothing is taken from the header."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, NamedTuple

import jwt

from imd.kernel.clocks import WallClock
from imd.kernel.errors import AuthFailed
from imd.kernel.ids import is_id

#: A token of ours has about 400 bytes; what is far longer is not even looked at.
MAX_TOKEN_BYTES = 2048
LEEWAY_S = 30
#: The claims' own format (spec 24.4).
FORMAT = "1.0"

_ALGORITHM = "HS256"
_ISSUER = "imd"
_REQUIRED = ["sub", "deviceId", "iat", "exp", "scopes", "nonce", "ver", "aud", "typ", "lid", "tv"]
_MAX_INT64 = (1 << 63) - 1

#: One text for all reasons: a forger learns nothing.
_REFUSED = "the token is not valid"


class Claims(NamedTuple):
    """What a token says, its signature and times already checked."""

    user_id: int
    device_id: str
    scopes: tuple[str, ...]
    issued_at_s: int
    expires_at_s: int
    login_id: str
    token_version: int


class Tokens:
    """Makes and checks tokens of one kind; ``kind`` is both their audience and their type."""

    def __init__(self, *, secret: Callable[[], bytes], kind: str, wall_clock: WallClock) -> None:
        self._secret = secret
        self._kind = kind
        self._wall_clock = wall_clock

    def __repr__(self) -> str:
        return f"Tokens(kind={self._kind!r})"

    def now_s(self) -> int:
        return self._wall_clock() // 1000

    def make(
        self,
        *,
        user_id: int,
        device_id: str,
        scopes: tuple[str, ...],
        expires_at_s: int,
        login_id: str,
        token_version: int,
    ) -> str:
        """A token that says this, from now until then."""
        claims = {
            "iss": _ISSUER,
            "aud": self._kind,
            "typ": self._kind,
            "sub": str(user_id),
            "deviceId": device_id,
            "iat": self.now_s(),
            "exp": expires_at_s,
            "scopes": list(scopes),
            "nonce": secrets.token_urlsafe(12),
            "ver": FORMAT,
            "lid": login_id,
            "tv": token_version,
        }
        return jwt.encode(claims, self._secret(), algorithm=_ALGORITHM)

    def check(self, token: str) -> Claims:
        """The claims of a token that we made, of this kind, that has not run out; else AuthFailed."""
        if not token or len(token) > MAX_TOKEN_BYTES or not token.isascii():
            raise AuthFailed(_REFUSED)
        try:
            decoded = jwt.decode_complete(
                token,
                self._secret(),
                algorithms=[_ALGORITHM],
                audience=self._kind,
                issuer=_ISSUER,
                # The times are checked below, against the clock that was passed in.
                options={
                    "require": _REQUIRED,
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                    "strict_aud": True,
                },
            )
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise AuthFailed(_REFUSED) from None
        # kid, crit, jku, x5u ...: we never write any, and never follow one.
        if decoded["header"] != {"alg": _ALGORITHM, "typ": "JWT"}:
            raise AuthFailed(_REFUSED)
        claims = _claims(decoded["payload"], self._kind)
        now_s = self.now_s()
        if claims.issued_at_s > now_s + LEEWAY_S:
            raise AuthFailed(_REFUSED)
        if claims.expires_at_s + LEEWAY_S <= now_s:
            raise AuthFailed("the token has expired; log in again")
        return claims


def _claims(said: dict[str, Any], kind: str) -> Claims:
    scopes = said["scopes"]
    sub = said["sub"]
    well_formed = (
        said["typ"] == kind
        and said["ver"] == FORMAT
        and isinstance(sub, str)
        and sub.isascii()
        and sub.isdigit()
        and len(sub) <= 19
        and 0 < int(sub) <= _MAX_INT64
        and all(type(said[name]) is int for name in ("iat", "exp", "tv"))
        and all(isinstance(said[name], str) and is_id(said[name]) for name in ("deviceId", "lid"))
        and isinstance(scopes, list)
        and all(isinstance(scope, str) for scope in scopes)
    )
    if not well_formed:
        raise AuthFailed(_REFUSED)
    return Claims(
        int(sub), said["deviceId"], tuple(scopes), said["iat"], said["exp"], said["lid"], said["tv"]
    )
