"""Stored messages that core tells of: each becomes an event of its conversation, in the order of their seqs."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from twisted.logger import Logger

from imd.bus.port import Bus
from imd.bus.subjects import HOOK_MESSAGE
from imd.business.webhooks.model import RECALLED, STORED, SYSTEM_STORED, Event, payload_of
from imd.business.webhooks.ports import Events
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.trying import Trying
from imd.pb.bus_pb2 import StoredMessages
from imd.pb.message_pb2 import RECALL, SYSTEM, Message

#: All business nodes take turns under one name: the bus hands out one batch at a time, so order is kept.
CONSUMER = "webhooks"
#: Seconds between tries while the database is away. The bus would give a batch up after five of its own.
_RETRY_S = (1.0, 5.0, 30.0)

_KINDS = {RECALL: RECALLED, SYSTEM: SYSTEM_STORED}


class KeepStored:
    """A stage that takes ``im.hook.message``.

    :param added: somebody who sends what came in.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        bus: Bus,
        events: Events,
        added: Callable[[], None],
        clock: Clock,
        wall_clock: WallClock,
    ) -> None:
        self._bus = bus
        self._events = events
        self._added = added
        self._wall_clock = wall_clock
        self._trying = Trying(clock=clock, delays_s=_RETRY_S)

    async def start(self) -> None:
        """Take what came while nobody was there, then what comes."""
        self._bus.consume(HOOK_MESSAGE, CONSUMER, self._take)

    async def stop(self) -> None:
        """What could not be kept yet comes again, here or at another node."""
        self._trying.stop()

    async def _take(self, subject: str, payload: bytes) -> None:
        try:
            bodies = StoredMessages.FromString(payload).messages
            events = [event_of(Message.FromString(body)) for body in bodies]
        except DecodeError:
            # Trying again would end the same, and hold up those behind it.
            self._log.error("{size} bytes on {subject} are no messages; they are dropped", size=len(payload),
                            subject=subject)  # fmt: skip
            return
        await self._trying.until_done(
            lambda: self._events.add(events, self._wall_clock()),
            waits=lambda error: self._log.error("events wait for the database: {error}", error=error),
        )
        self._added()


def event_of(message: Message) -> Event:
    """The event of one message. Every message is one, so that seqs stay without a hole; what the operator does not
    want to hear of is left out when it is its turn."""
    kind = _KINDS.get(message.type, STORED)
    event_id = f"{message.conversationId}:{message.seq}"
    # In the form of im.v1.json.
    body = {"message": MessageToDict(message)}
    return Event(
        event_id=event_id,
        order_key=message.conversationId,
        kind=kind,
        payload=payload_of(event_id, kind, message.serverTime, body),
        position=message.seq,
    )
