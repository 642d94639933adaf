"""From the bus to subscribers and responders: contexts, limits, and what stop waits for."""

from __future__ import annotations

from contextvars import ContextVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.bus import nats_inbound
from imd.bus.nats_inbound import AtWork, ResponderQueue, SubscriberQueue
from imd.bus.nats_replies import BUSY, FAILED
from imd.bus.port import BusRefused, Subscriber

_mark: ContextVar[str] = ContextVar("mark", default="")


class SubscriberTests(SynchronousTestCase):
    """One message at a time."""

    def setUp(self) -> None:
        self.at_work = AtWork()
        self.dropped: list[str] = []

    def _queue(self, subscriber: Subscriber) -> SubscriberQueue:
        return SubscriberQueue(subscriber, at_work=self.at_work, on_dropped=self.dropped.append)

    def test_fresh_context(self) -> None:
        """No handler sees what another one, or whoever reads the socket, has set."""
        seen: list[str] = []
        gate: Deferred[None] = Deferred()

        async def subscriber(_: str, payload: bytes) -> None:
            seen.append(_mark.get())
            _mark.set("of another message")
            if payload == b"waits":
                await gate
                seen.append(_mark.get())

        queue = self._queue(subscriber)
        _mark.set("of the reader")
        for payload in (b"1", b"waits", b"after"):
            queue.take(b"im.a", b"", payload, None)
        gate.callback(None)
        self.assertEqual(seen, ["", "", "of another message", ""])

    def test_many_do_not_nest(self) -> None:
        """Ten thousand that waited behind one are handed over one after the other."""
        gate: Deferred[None] = Deferred()
        seen: list[bytes] = []

        async def subscriber(_: str, payload: bytes) -> None:
            seen.append(payload)
            await gate

        queue = self._queue(subscriber)
        for number in range(9_000):
            queue.take(b"im.a", b"", b"%d" % number, None)
        self.assertEqual(len(seen), 1)
        gate.callback(None)
        self.assertEqual(len(seen), 9_000)
        self.assertEqual(self.at_work.count, 0)

    def test_bytes_are_limited(self) -> None:
        """A few large messages fill the queue as well."""
        self.patch(nats_inbound, "MAX_WAITING_BYTES", 1_000)

        async def subscriber(_: str, __: bytes) -> None:
            await Deferred()

        queue = self._queue(subscriber)
        for _ in range(5):
            queue.take(b"im.a", b"", bytes(600), None)
        self.assertEqual(len(queue), 2)
        self.assertEqual(self.dropped, ["im.a", "im.a"])

    def test_idle(self) -> None:
        """Idle is when the last one that was taken has ended."""
        gate: Deferred[None] = Deferred()

        async def subscriber(_: str, __: bytes) -> None:
            await gate

        self.successResultOf(self.at_work.idle())
        queue = self._queue(subscriber)
        queue.take(b"im.a", b"", b"1", None)
        queue.take(b"im.a", b"", b"2", None)
        idle = self.at_work.idle()
        self.assertNoResult(idle)
        gate.callback(None)
        self.successResultOf(idle)


class ResponderTests(SynchronousTestCase):
    """Many requests at a time."""

    def setUp(self) -> None:
        self.answers: list[tuple[bytes, bytes, bytes]] = []
        self.gate: Deferred[None] = Deferred()

    def _answer(self, inbox: bytes, payload: bytes, headers: bytes = b"") -> None:
        self.answers.append((inbox, payload, headers))

    async def _respond(self, payload: bytes) -> bytes:
        if payload == b"raise":
            raise RuntimeError("planted")
        if payload == b"wait":
            await self.gate
        return payload

    def _queue(self) -> ResponderQueue:
        return ResponderQueue("im.a", self._respond, at_work=AtWork(), answers=self._answer)

    def test_too_many(self) -> None:
        """Who comes when all hands are full is told so at once, and served when there is one free."""
        self.patch(nats_inbound, "MAX_AT_WORK", 2)
        queue = self._queue()
        for inbox in (b"1", b"2", b"3"):
            queue.take(b"im.a", inbox, b"wait", None)
        self.assertEqual(self.answers, [(b"3", b"", BUSY)])
        self.gate.callback(None)
        queue.take(b"im.a", b"4", b"quick", None)
        self.assertEqual(
            self.answers[1:], [(b"1", b"wait", b""), (b"2", b"wait", b""), (b"4", b"quick", b"")]
        )

    def test_failures(self) -> None:
        """A failure is marked and says nothing; the next request is served."""
        queue = self._queue()
        queue.take(b"im.a", b"1", b"raise", None)
        queue.take(b"im.a", b"2", b"fine", None)
        self.assertEqual(self.answers, [(b"1", b"", FAILED), (b"2", b"fine", b"")])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_answer_that_cannot_be_sent(self) -> None:
        """It is lost, and its responder is free again."""

        def refuse(inbox: bytes, payload: bytes, headers: bytes = b"") -> None:
            raise BusRefused("full")

        queue = ResponderQueue("im.a", self._respond, at_work=AtWork(), answers=refuse)
        queue.take(b"im.a", b"1", b"x", None)
        self.assertEqual(len(queue), 0)

    def test_message_without_inbox(self) -> None:
        """Who publishes where one should ask gets nothing."""
        queue = self._queue()
        queue.take(b"im.a", b"", b"x", None)
        self.assertEqual(self.answers, [])
