"""Many requests, one inbox, one timer."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.bus import nats_replies
from imd.bus.nats_replies import BUSY, FAILED, NotPermitted, Replies
from imd.bus.port import BusFailure, BusRefused, NoResponder


class RepliesTests(SynchronousTestCase):
    """Each request ends once: by its answer, its deadline, or the end of the connection."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.replies = Replies(clock=self.clock)

    def _failure(self, answer: Deferred[bytes], kind: type[Exception]) -> Any:
        return self.failureResultOf(answer, kind).value

    def test_answers_find_their_requests(self) -> None:
        """In whatever order they come; the timer is gone in the end."""
        first, one = self.replies.expect("im.a", 1)
        second, two = self.replies.expect("im.a", 2)
        self.replies.take(second, b"2", None)
        self.replies.take(first, b"1", b"NATS/1.0\r\nSome: header\r\n\r\n")
        self.assertEqual((self.successResultOf(one), self.successResultOf(two)), (b"1", b"2"))
        self.clock.advance(3)
        self.assertEqual((len(self.replies), self.replies.timeouts, self.clock.getDelayedCalls()), (0, 0, []))

    def test_what_is_no_answer(self) -> None:
        """Nobody there, failed, busy: three exceptions."""
        for headers, kind in (
            (b"NATS/1.0 503\r\n\r\n", NoResponder),
            (FAILED, BusFailure),
            (BUSY, BusRefused),
        ):
            token, answer = self.replies.expect("im.a", 1)
            self.replies.take(token, b"", headers)
            self._failure(answer, kind)

    def test_deadlines(self) -> None:
        """Each at its own time, also one that was asked later and ends earlier."""
        _, slow = self.replies.expect("im.slow", 2)
        token, quick = self.replies.expect("im.quick", 0.3)
        self.clock.advance(0.29)
        self.assertNoResult(quick)
        self.clock.advance(0.02)
        self.assertIn("im.quick", str(self._failure(quick, TimeoutError)))
        self.assertNoResult(slow)
        self.replies.take(token, b"too late", None)
        self.clock.advance(1.7)
        self._failure(slow, TimeoutError)
        self.assertEqual(self.replies.timeouts, 2)

    def test_asks_again_when_told(self) -> None:
        """A request that is made in the moment of a time-out has its own deadline, as have those around it."""
        again: list[Deferred[bytes]] = []
        _, first = self.replies.expect("im.a", 1)
        _, other = self.replies.expect("im.a", 1.5)
        first.addErrback(lambda _: again.append(self.replies.expect("im.a", 5)[1]))
        self.clock.advance(1)
        self.clock.advance(0.5)
        self._failure(other, TimeoutError)
        self.clock.advance(4.5)
        self._failure(again[0], TimeoutError)

    def test_cancelled(self) -> None:
        """Whoever stopped waiting is not called; a late answer goes nowhere."""
        token, answer = self.replies.expect("im.a", 1)
        answer.addErrback(lambda _: None)
        answer.cancel()
        self.replies.take(token, b"late", None)
        _, other = self.replies.expect("im.a", 1)
        other.addErrback(lambda _: None)
        other.cancel()
        self.clock.advance(2)
        self.assertEqual(len(self.replies), 0)

    def test_end_of_connection(self) -> None:
        """All that wait fail at once, or those on a subject that may not be used."""
        _, one = self.replies.expect("im.A", 1)
        _, two = self.replies.expect("im.b", 1)
        self.replies.fail(NotPermitted("no"), subject="im.a")
        self._failure(one, NotPermitted)
        self.assertNoResult(two)
        self.replies.fail(BusFailure("lost"))
        self._failure(two, BusFailure)

    def test_limit(self) -> None:
        """Above the limit asking is refused, until one has ended."""
        self.patch(nats_replies, "MAX_REQUESTS", 2)
        token, answer = self.replies.expect("im.a", 1)
        self.replies.expect("im.a", 1)
        self.assertRaises(BusRefused, self.replies.expect, "im.a", 1)
        self.replies.take(token, b"", None)
        self.successResultOf(answer)
        self.replies.expect("im.a", 1)

    def test_old_deadlines_are_swept(self) -> None:
        """Requests that were answered long before their time-out do not pile up."""
        _, slow = self.replies.expect("im.a", 3600)
        for _ in range(5_000):
            token, _answer = self.replies.expect("im.a", 3600)
            self.replies.take(token, b"", None)
        self.assertLess(len(self.replies._deadlines), 1_100)
        self.clock.advance(3600)
        self._failure(slow, TimeoutError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop(self) -> None:
        """Nothing waits any more, and no timer is left."""
        _, answer = self.replies.expect("im.a", 1)
        self.replies.stop()
        self._failure(answer, BusRefused)
        self.assertEqual(self.clock.getDelayedCalls(), [])
