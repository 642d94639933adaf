"""Tickets: by them a core node proves that it asks for somebody who is logged in there.

Whoever gets into a core node could otherwise ask in anybody's name. A ticket is made when a token is checked, stays
with the session, and comes back with each of its questions; it is no token, and opens nothing but these questions.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

import msgspec

from imd.business.accounts.model import Caller, Sessions
from imd.business.accounts.sessions import SessionCache
from imd.kernel.clocks import WallClock
from imd.kernel.errors import AuthFailed

#: A live session outlasts its token by ``gateway.token_grace_s``, which is at most this, and its questions must be
#: answered until then.
GRACE_MS = 3_600_000
#: A ticket of ours has about 150 bytes; what is far longer is not even looked at.
MAX_TICKET_BYTES = 1024

#: Names the purpose of the derived key, and the format: another format gets another key.
_PURPOSE = b"imd ticket 1"
_MAC_BYTES = 32

#: Why a ticket was refused, for the audit; whoever asked hears one text for all.
NO_TICKET = "no_ticket"
FORGED = "forged_ticket"
EXPIRED = "expired_ticket"
ANOTHERS = "anothers_ticket"
ENDED = "login_ended"

_REFUSED = "the ticket is not valid"


class TicketRefused(AuthFailed):
    """The ticket proves nothing; ``why``, and whose it really is, are for the audit."""

    def __init__(self, why: str, *, holder_id: int = 0) -> None:
        super().__init__(_REFUSED)
        self.why = why
        self.holder_id = holder_id


class _Said(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a ticket says, in this order."""

    user_id: int
    device_id: str
    login_id: str
    scopes: tuple[str, ...]
    expires_at_ms: int
    made_at_ms: int


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Said)


class Tickets:
    """Makes tickets, and checks them: signature, time, whose it is, and whether the login still counts."""

    def __init__(self, *, secret: Callable[[], bytes], sessions: SessionCache, wall_clock: WallClock) -> None:
        self._secret = secret
        self._sessions = sessions
        self._wall_clock = wall_clock

    def __repr__(self) -> str:
        return "Tickets()"

    def make(self, caller: Caller) -> bytes:
        """The ticket of somebody whose token was found good."""
        # The level may change while a ticket lives, and no question is answered by it.
        said = _ENCODER.encode(_Said(*caller[:-1], self._wall_clock()))
        return said + self._mac(said)

    async def holder(self, ticket: bytes, user_id: int) -> Caller:
        """Who asks with this ticket, if it is this user and may.

        :raises TicketRefused: with one of the reasons above.
        """
        said = self._read(ticket)
        caller = Caller(said.user_id, said.device_id, said.login_id, said.scopes, said.expires_at_ms)
        if caller.user_id != user_id:
            raise TicketRefused(ANOTHERS, holder_id=caller.user_id)
        if caller.expires_at_ms + GRACE_MS <= self._wall_clock():
            raise TicketRefused(EXPIRED)
        if not _counts(await self._sessions.of(user_id), caller):
            # Another node may have made the login since this one has looked.
            age_s = (self._wall_clock() - said.made_at_ms) / 1000
            if not _counts(await self._sessions.newer_than(user_id, age_s), caller):
                raise TicketRefused(ENDED)
        return caller

    def _read(self, ticket: bytes) -> _Said:
        if not ticket:
            raise TicketRefused(NO_TICKET)
        said, mac = ticket[:-_MAC_BYTES], ticket[-_MAC_BYTES:]
        if len(ticket) > MAX_TICKET_BYTES or not hmac.compare_digest(mac, self._mac(said)):
            raise TicketRefused(FORGED)
        # Nobody else could sign: what is signed can be read.
        return _DECODER.decode(said)

    def _mac(self, said: bytes) -> bytes:
        key = hmac.digest(self._secret(), _PURPOSE, "sha256")
        return hmac.digest(key, said, "sha256")


def _counts(sessions: Sessions | None, caller: Caller) -> bool:
    # Not the token's version: a password change leaves the changing device's login, with an older token.
    return (
        sessions is not None and sessions.active and sessions.logins.get(caller.device_id) == caller.login_id
    )
