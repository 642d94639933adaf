"""Readiness, its causes, and what the probes answer."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from imd.ops.health import ASK_INTERVAL_S, ASK_TIMEOUT_S, Alive, Readiness, Ready, Watched


def asked(resource: Resource) -> tuple[int, Any]:
    """Status and body of a GET."""
    root = Resource()
    root.putChild(b"x", resource)
    make: Any = Site
    channel: Any = make(root, reactor=Clock()).buildProtocol(None)
    transport = StringTransport()
    channel.makeConnection(transport)
    channel.dataReceived(b"GET /x HTTP/1.0\r\n\r\n")
    head, _, body = transport.value().partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


class ReadinessTests(SynchronousTestCase):
    """Whether the node takes traffic."""

    def setUp(self) -> None:
        self.connected = True
        self.stored = True
        self.readiness = Readiness({"bus": lambda: self.connected, "messages": lambda: self.stored})

    def start(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.readiness.start()))

    def test_life(self) -> None:
        """Not ready while it starts and once it stops, each told by name."""
        self.assertEqual(
            asked(Ready(self.readiness)), (503, {"ready": False, "missing": {"node": "starting"}})
        )
        self.start()
        self.assertEqual(asked(Ready(self.readiness)), (200, {"ready": True}))
        self.assertTrue(self.readiness.is_ready())
        self.successResultOf(Deferred.fromCoroutine(self.readiness.stop()))
        self.assertEqual(
            asked(Ready(self.readiness)), (503, {"ready": False, "missing": {"node": "stopping"}})
        )
        self.assertFalse(self.readiness.is_ready())

    def test_parts(self) -> None:
        """Every part that is missing is named; what comes back makes the node ready again."""
        self.start()
        self.connected = self.stored = False
        self.assertEqual(
            asked(Ready(self.readiness)),
            (503, {"ready": False, "missing": {"bus": "unavailable", "messages": "unavailable"}}),
        )
        self.connected = True
        self.assertEqual(list(self.readiness.missing()), ["messages"])
        self.assertFalse(self.readiness.is_ready())
        self.stored = True
        self.assertEqual(asked(Ready(self.readiness))[0], 200)

    def test_alive(self) -> None:
        """A node that is not ready is alive all the same: nobody should kill it for a store that is away."""
        self.assertEqual(asked(Alive()), (200, {"alive": True}))


class WatchedTests(SynchronousTestCase):
    """A store asked now and then."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.answers: list[Deferred[None]] = []
        self.watched = Watched("the store", ask=self.ask, clock=self.clock)
        self.events: list[LogEvent] = []
        observe: Any = self.events.append
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.successResultOf(Deferred.fromCoroutine(self.watched.start()))

    async def ask(self) -> None:
        answer: Deferred[None] = Deferred()
        self.answers.append(answer)
        await answer

    def round(self, outcome: Exception | None) -> None:
        self.clock.advance(ASK_INTERVAL_S)
        answer = self.answers.pop()
        if outcome is None:
            answer.callback(None)
        else:
            answer.errback(outcome)

    def said(self) -> list[str]:
        return [event["log_level"].name for event in self.events if event.get("name") == "the store"]

    def test_one_miss(self) -> None:
        """One bad answer changes nothing, two in a row do, and one good answer heals; each change is one line."""
        self.round(OSError("gone"))
        self.assertTrue(self.watched.is_well())
        self.round(None)
        self.round(OSError("gone"))
        self.assertTrue(self.watched.is_well())
        for _ in range(3):
            self.round(OSError("gone"))
        self.assertFalse(self.watched.is_well())
        self.round(None)
        self.assertTrue(self.watched.is_well())
        self.assertEqual(self.said(), ["error", "info"])

    def test_silence(self) -> None:
        """A store that says nothing is missed like one that says no."""
        for _ in range(2):
            self.clock.advance(ASK_INTERVAL_S)
            self.clock.advance(ASK_TIMEOUT_S)
        self.assertFalse(self.watched.is_well())

    def test_stop(self) -> None:
        """After the stop nobody is asked any more."""
        self.successResultOf(Deferred.fromCoroutine(self.watched.stop()))
        self.clock.advance(10 * ASK_INTERVAL_S)
        self.assertEqual(self.answers, [])

    def test_stop_while_asked(self) -> None:
        """The stop does not wait for a store that says nothing."""
        self.clock.advance(ASK_INTERVAL_S)
        self.successResultOf(Deferred.fromCoroutine(self.watched.stop()))
        self.assertEqual(self.clock.getDelayedCalls(), [])
