"""Answers on their way back: many requests, one inbox, one timer.

nats-py's own ``request`` makes a future, a timer and a random token each time, three times the cost.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from math import inf

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall

from imd.bus.port import BusFailure, BusRefused, NoResponder
from imd.kernel.clocks import Clock

#: Requests without an answer yet; each holds a coroutine of about 1 KB on both sides.
MAX_REQUESTS = 10_000
#: Deadlines of requests that have been answered are swept out when they are most of the heap.
_MIN_SWEEP = 1_000

#: Header blocks of answers that are none. The first is the server's own.
_NO_RESPONDER = b"NATS/1.0 503"
FAILED = b"NATS/1.0\r\nIm-Answer: failed\r\n\r\n"
BUSY = b"NATS/1.0\r\nIm-Answer: busy\r\n\r\n"


class NotPermitted(BusRefused):
    """This user may not publish there; trying again is in vain until somebody changes nats.conf."""


class Replies:
    """What was asked and has no answer yet, by token."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._number = 0
        self._waiting: dict[bytes, tuple[str, Deferred[bytes]]] = {}
        self._deadlines: list[tuple[float, bytes]] = []
        self._timer: IDelayedCall | None = None
        #: When the timer goes off; never, if there is none.
        self._next_s = inf
        #: Requests that ended without an answer, ever.
        self.timeouts = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def expect(self, subject: str, timeout_s: float) -> tuple[bytes, Deferred[bytes]]:
        """The last token of the inbox to answer to, and the answer.

        Whoever cancels the answer just does not hear of it.
        """
        if len(self._waiting) >= MAX_REQUESTS:
            raise BusRefused("too many requests are in flight")
        self._number += 1
        token = b"%x" % self._number
        answer: Deferred[bytes] = Deferred()
        self._waiting[token] = (subject, answer)
        deadline = self._clock.seconds() + timeout_s
        if len(self._deadlines) > _MIN_SWEEP + 2 * len(self._waiting):
            self._deadlines[:] = [each for each in self._deadlines if each[1] in self._waiting]
            heapify(self._deadlines)
        heappush(self._deadlines, (deadline, token))
        if deadline < self._next_s:
            self._wake_at(deadline)
        return token, answer

    def take(self, token: bytes, payload: bytes, headers: bytes | None) -> None:
        """An answer came; too late ones go nowhere."""
        entry = self._waiting.pop(token, None)
        if entry is None:
            return
        subject, answer = entry
        if headers is None:
            answer.callback(payload)
        elif headers.startswith(_NO_RESPONDER):
            answer.errback(NoResponder(subject))
        elif headers == BUSY:
            answer.errback(BusRefused(f"who serves {subject} has too much to do"))
        elif headers == FAILED:
            answer.errback(BusFailure(f"{subject} failed"))
        else:
            answer.callback(payload)

    def forget(self, token: bytes) -> None:
        """It was not sent after all."""
        self._waiting.pop(token, None)

    def fail(self, error: Exception, *, subject: str | None = None) -> None:
        """End all that wait, or those on one subject."""
        ended = [
            token
            for token, (asked, _) in self._waiting.items()
            if subject is None or asked.lower() == subject
        ]
        for token in ended:
            entry = self._waiting.pop(token, None)
            if entry is not None:
                entry[1].errback(error)

    def _wake_at(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next_s = deadline
        self._timer = self._clock.callLater(max(0.0, deadline - self._clock.seconds()), self._expire)

    def _expire(self) -> None:
        self._timer, self._next_s = None, inf
        now = self._clock.seconds()
        deadlines = self._deadlines
        while deadlines and (deadlines[0][0] <= now or deadlines[0][1] not in self._waiting):
            _, token = heappop(deadlines)
            entry = self._waiting.pop(token, None)
            if entry is not None:
                self.timeouts += 1
                entry[1].errback(TimeoutError(f"no answer on {entry[0]}"))
        # Whoever was told may have asked again, and set a later one.
        if deadlines and deadlines[0][0] < self._next_s:
            self._wake_at(deadlines[0][0])

    def stop(self) -> None:
        """No timer is left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._next_s = None, inf
        self.fail(BusRefused("the bus is stopped"))
