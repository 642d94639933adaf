"""One connection: the wire machine, a link and the clock put together; questions get answers."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from imd.client.errors import Disconnected
from imd.client.transport import Dial, Link
from imd.kernel.clocks import Clock
from imd.pb.connection_pb2 import Connect
from imd.pb.envelope_pb2 import Envelope
from imd.wire.client import ClientConnection, Ended, Event, Frame, Opened, Refusal, State, Why

#: The server's own limit is 1 s for history; the rest is the way there and back.
ANSWER_TIMEOUT_S = 10.0
#: Questions that wait for their answers at the same time.
MAX_QUESTIONS = 1000


class Connection:
    """Lives from ``open`` to one ``Ended`` event. ``on_event`` gets everything that is no answer."""

    def __init__(self, *, dial: Dial, clock: Clock, on_event: Callable[[Event], None]) -> None:
        self._dial = dial
        self._clock = clock
        self._on_event = on_event
        self._machine = ClientConnection(json=dial.json)
        self._link: Link | None = None
        self._timer: IDelayedCall | None = None
        self._questions: dict[int, tuple[Deferred[Envelope], IDelayedCall]] = {}
        self._corked = False
        self._over = False

    @property
    def live(self) -> bool:
        """Whether requests can be made."""
        return not self._over and self._machine.state in (State.LIVE, State.DRAINING)

    async def open(self, connect: Connect) -> None:
        """Dial and say Connect; ``Opened`` or ``Ended`` follow as events.

        :raises Unreachable: there is no connection.
        """
        link = await self._dial(self)
        if self._over:
            link.abort()
            return
        self._link = link
        self._machine.hello(connect, self._clock.seconds())
        self._flush()

    def tell(self, envelope: Envelope) -> None:
        """Say something without an answer; lost without a word if not live."""
        if self.live:
            self._machine.tell(envelope)
            self._flush()

    def send(self, envelope: Envelope) -> int:
        """Say something whose answer comes as an event; the request id."""
        request_id = self._machine.ask(envelope)
        self._flush()
        return request_id

    def ask(self, envelope: Envelope, *, timeout_s: float = ANSWER_TIMEOUT_S) -> Deferred[Envelope]:
        """The answer to a question, or an ImError: the server's own, or Disconnected."""
        answer: Deferred[Envelope] = Deferred()
        if not self.live:
            answer.errback(Disconnected("not connected"))
        elif len(self._questions) >= MAX_QUESTIONS:
            answer.errback(Disconnected(f"{MAX_QUESTIONS} questions wait for answers already"))
        else:
            request_id = self._machine.ask(envelope)
            patience = self._clock.callLater(timeout_s, self._too_late, request_id, timeout_s)
            self._questions[request_id] = (answer, patience)
            self._flush()
        return answer

    def close(self, reason: str) -> None:
        """Leave now; ``Ended`` follows at once."""
        if not self._over:
            self._end(Ended(Why.LEAVING, reason))

    def received(self, data: bytes | str) -> None:
        """From the link."""
        if self._over:
            return
        self._corked = True
        try:
            self._dispatch(self._machine.feed(data, self._clock.seconds()))
        finally:
            self._corked = False
        self._flush()

    def lost(self, reason: str) -> None:
        """From the link."""
        self._link = None
        self._dispatch(self._machine.lost(reason))

    def _tick(self) -> None:
        self._timer = None
        self._dispatch(self._machine.tick(self._clock.seconds()))
        self._flush()

    def _flush(self) -> None:
        """Write everything at once; while a burst is being read, only after it."""
        if self._corked or self._link is None or self._over:
            return
        outgoing = self._machine.take_outgoing()
        if outgoing:
            self._link.write(outgoing)
        if self._timer is None:
            wait_s = self._machine.next_tick_s - self._clock.seconds()
            self._timer = self._clock.callLater(max(wait_s, 0.0), self._tick)

    def _dispatch(self, events: list[Event]) -> None:
        for event in events:
            if self._over:
                return
            if isinstance(event, Ended):
                self._end(event)
            elif isinstance(event, Frame | Refusal) and event.request_id in self._questions:
                self._answer(event)
            else:
                if isinstance(event, Opened) and self._timer is not None:
                    # The server may want a quicker heart than the time-out for the login.
                    self._timer.cancel()
                    self._timer = None
                self._on_event(event)

    def _answer(self, event: Frame | Refusal) -> None:
        answer, patience = self._questions.pop(event.request_id)
        patience.cancel()
        if isinstance(event, Frame):
            answer.callback(event.envelope)
        else:
            answer.errback(event.error)

    def _too_late(self, request_id: int, timeout_s: float) -> None:
        answer, _ = self._questions.pop(request_id)
        answer.errback(Disconnected(f"no answer within {timeout_s:g} s"))

    def _end(self, ended: Ended) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        link, self._link = self._link, None
        if link is not None:
            if ended.why is Why.SILENT:
                link.abort()
            else:
                link.close()
        questions, self._questions = self._questions, {}
        for answer, patience in questions.values():
            patience.cancel()
            answer.errback(Failure(Disconnected(f"the connection went: {ended.reason}")))
        self._on_event(ended)
