"""Listening to Redis: what is heard, and what may have been missed."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.storage.redis_channels import PING_INTERVAL_S, PING_TIMEOUT_S, RedisChannels
from imd.storage.redis_line import Login
from tests.storage.scripted_redis import ScriptedRedis, bulk

PONG = b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"


def subscribed(channel: str, count: int) -> bytes:
    return b"*3\r\n" + bulk("subscribe") + bulk(channel) + b":%d\r\n" % count


def published(channel: str, text: str) -> bytes:
    return b"*3\r\n" + bulk("message") + bulk(channel) + bulk(text)


class RedisChannelsTests(SynchronousTestCase):
    """One connection of its own."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.redis = ScriptedRedis(self.clock)
        self.events: list[object] = []
        self.channels = RedisChannels(
            endpoint=self.redis, login=Login(), clock=self.clock, jitter=lambda: 1.0
        )
        for name in ("revoked", "banned"):
            self.channels.subscribe(
                name,
                lambda message, name=name: self.events.append((name, message)),  # type: ignore[misc]
                missed=lambda name=name: self.events.append(name),  # type: ignore[misc]
            )

    def run_(self, work: Coroutine[Any, Any, None]) -> None:
        self.successResultOf(Deferred.fromCoroutine(work))
        self.clock.advance(0)

    def start(self) -> None:
        self.run_(self.channels.start())
        self.let_in()

    def let_in(self) -> None:
        self.redis.side.say(subscribed("revoked", 1))
        self.redis.side.say(subscribed("banned", 2))
        self.assertEqual(
            self.redis.side.heard(), [["INFO"], ["SUBSCRIBE", "revoked"], ["SUBSCRIBE", "banned"]]
        )

    def stop(self) -> None:
        self.run_(self.channels.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual([side for side in self.redis.sides if side.open], [])

    def take(self) -> list[object]:
        events, self.events = self.events, []
        return events

    def test_heard(self) -> None:
        """Each channel's messages go to who subscribed to it; listening begins with "you may have missed"."""
        self.start()
        self.assertTrue(self.channels.is_up())
        self.assertEqual(self.take(), ["revoked", "banned"])
        self.redis.side.say(published("banned", "bo") + published("revoked", "\x00 7"))
        self.assertEqual(self.take(), [("banned", b"bo"), ("revoked", b"\x00 7")])
        self.stop()

    def test_again(self) -> None:
        """After a loss everything is subscribed to again, and everybody told that there was a gap."""
        self.start()
        self.take()
        self.redis.side.hang_up()
        self.clock.advance(0)
        self.assertFalse(self.channels.is_up())
        self.clock.advance(0)
        self.let_in()
        self.assertEqual(self.take(), ["revoked", "banned"])
        self.stop()

    def test_silence(self) -> None:
        """A connection that does not answer a PING is left; one that does is kept."""
        self.start()
        first = self.redis.side
        self.clock.advance(PING_INTERVAL_S)
        self.assertEqual(first.heard(), [["PING"]])
        first.say(PONG)
        self.clock.advance(PING_INTERVAL_S)
        self.assertEqual(first.heard(), [["PING"]])
        self.clock.advance(PING_TIMEOUT_S)
        self.assertFalse(first.open)
        self.clock.advance(0)
        self.let_in()
        self.assertTrue(self.channels.is_up())
        self.stop()

    def test_away(self) -> None:
        """The server starts without Redis and listens when it comes."""
        self.redis.refuses = True
        self.run_(self.channels.start())
        self.clock.pump([0.1] * 50)
        self.assertLess(len(self.redis.tried_s), 9)
        self.redis.refuses = False
        self.clock.pump([0.1] * 21)
        self.let_in()
        self.assertEqual(self.take(), ["revoked", "banned"])
        self.stop()

    def test_stop_while_away(self) -> None:
        """Stopping ends the search while it waits for a connection."""
        self.redis.unreachable = True
        self.run_(self.channels.start())
        self.stop()

    def test_failing_listener(self) -> None:
        """A listener that fails is logged, and the next message comes."""
        nothing: dict[bytes, None] = {}
        self.channels.subscribe("revoked", lambda message: nothing[message], missed=lambda: None)
        self.start()
        self.take()
        self.redis.side.say(published("revoked", "a") + published("revoked", "b"))
        self.assertEqual(self.take(), [("revoked", b"a"), ("revoked", b"b")])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 2)
        self.stop()
