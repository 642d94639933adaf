"""Who is let in: whoever proves to have one of the keys in the file, as it is now. Passwords are not asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.conch.error import IgnoreAuthentication, ValidPublicKey
from twisted.conch.interfaces import IConchUser
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.userauth import SSHUserAuthServer
from twisted.cred.credentials import ISSHPrivateKey
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from imd.ops.manhole.keys import AuthorizedKey, authorized_keys, fingerprint
from imd.ops.manhole.trail import Trail, quiet

#: From the connection to the login.
LOGIN_TIMEOUT_S = 60
#: A client offers one key after the other.
MAX_ATTEMPTS = 10


class Door:
    """As a ``Portal`` of Twisted, for one connection.

    :param is_full: whether there are enough operators in.
    :param enter: makes the operator who was let in.
    """

    def __init__(
        self, *, keys_file: str, trail: Trail, is_full: Callable[[], bool], enter: Callable[[], Any]
    ) -> None:
        self._keys_file = keys_file
        self._trail = trail
        self._is_full = is_full
        self._enter = enter

    def listCredentialsInterfaces(self) -> Sequence[Any]:
        return [ISSHPrivateKey]

    def login(self, credentials: Any, mind: object, *interfaces: object) -> Deferred[Any]:
        """The operator, or why not; ``ValidPublicKey`` for a key that has yet to be proved."""
        try:
            found = self._known(credentials.blob)
            if not credentials.signature:
                raise ValidPublicKey
            if not _is_signed(found.key, credentials):
                raise UnauthorizedLogin("the signature is not of this key")
            if self._is_full():
                raise UnauthorizedLogin("there are enough sessions already (manhole.max_sessions)")
        except Exception:
            return fail(Failure())
        self._trail.let_in(_readable(credentials.username), found.operator, fingerprint(found.key))
        return succeed((IConchUser, self._enter(), lambda: None))

    def _known(self, blob: bytes) -> AuthorizedKey:
        offered: Key = Key.fromString(blob)
        try:
            known = authorized_keys(self._keys_file)
        except ValueError as error:
            # Nobody is let in by a file that is not as it should be; whoever wonders finds it in the log.
            raise UnauthorizedLogin(f"manhole.authorized_keys_file: {error}") from None
        for each in known:
            if each.key == offered:
                return each
        raise UnauthorizedLogin(f"{fingerprint(offered)} is not among the authorized keys")


class Login(SSHUserAuthServer):
    """Asks for keys only, says what was refused, and does not wait for ever."""

    loginTimeout = LOGIN_TIMEOUT_S
    attemptsBeforeDisconnect = MAX_ATTEMPTS
    _log = Logger(observer=quiet)

    def serviceStarted(self) -> None:
        connection: Any = self.transport
        self.clock = connection.factory.clock
        super().serviceStarted()
        self._trail: Trail = connection.trail
        self.portal = connection.door

    def _ebBadAuth(self, reason: Failure) -> None:
        if self.method != b"none" and not reason.check(IgnoreAuthentication):
            self._trail.refused(_readable(self.user), _readable(self.method), reason.getErrorMessage())
            # What Twisted would say of it is said.
            reason = Failure(UnauthorizedLogin())
        super()._ebBadAuth(reason)


def _is_signed(key: Key, credentials: Any) -> bool:
    try:
        return bool(key.verify(credentials.signature, credentials.sigData))
    except Exception:
        # Of many kinds, for a peer made the signature.
        return False


def _readable(text: bytes | None) -> str:
    return (text or b"").decode("utf-8", "replace")[:64]
