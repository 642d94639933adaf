"""Logins that were ended by another business node are not taken for good here any more."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from twisted.logger import Logger

from imd.bus.port import Bus
from imd.bus.subjects import AUTH_INVALIDATE
from imd.business.accounts.sessions import SessionCache
from imd.pb.bus_pb2 import Invalidation


class RevokedElsewhere:
    """A stage that takes ``im.auth.invalidate`` to the session cache; for more than one business node.

    Each node consumes under its own name, and so hears of everything. What was revoked is committed by then, so
    the next question reads it; until it is heard of, a few milliseconds, an ended login may still be let in
    here, and core refuses those that it has heard of itself.
    """

    _log = Logger()

    def __init__(self, *, bus: Bus, sessions: SessionCache, node: str) -> None:
        self._bus = bus
        self._sessions = sessions
        self._node = node

    async def start(self) -> None:
        """Listen; before anybody is served."""
        self._bus.consume(AUTH_INVALIDATE, f"business-{self._node}", self._invalidated)

    async def stop(self) -> None:
        """The bus forgets its consumers when it stops."""

    async def _invalidated(self, subject: str, payload: bytes) -> None:
        try:
            event = Invalidation.FromString(payload)
        except DecodeError:
            # Trying again would end the same, and hold up those behind it.
            self._log.error(
                "an event of {size} bytes on {subject} is no Invalidation; it is dropped",
                size=len(payload),
                subject=subject,
            )
            return
        if event.WhichOneof("what") == "revoked":
            self._sessions.forget(event.revoked.userId)
