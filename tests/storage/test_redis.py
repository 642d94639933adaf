"""The stage that nobody waits for: time-outs, cancelled calls, a Redis that is away or the wrong one."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.errors import ServerBusy, StartupError
from imd.storage.redis import CALL_TIMEOUT_S, LAST_PROBE_S, MAX_CALLS, RedisStore, Script
from imd.storage.redis_line import OPEN_TIMEOUT_S, Login
from tests.storage.scripted_redis import ScriptedRedis, bulk, info


class RedisCase(SynchronousTestCase):
    """A store on a Redis that the test plays."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.redis = ScriptedRedis(self.clock)
        self.log: list[str] = []
        note: Any = self.note
        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)

    def note(self, event: Mapping[str, Any]) -> None:
        if event.get("log_namespace") == "imd.storage.redis.RedisStore":
            self.log.append(event["log_format"].format(**event))

    def store(self, **login: Any) -> RedisStore:
        return RedisStore(
            endpoint=self.redis,
            name="redis:6379",
            login=Login(**login),
            clock=self.clock,
            jitter=lambda: 1.0,
        )

    def run_(self, work: Coroutine[Any, Any, Any]) -> Deferred[Any]:
        running: Deferred[Any] = Deferred.fromCoroutine(work)
        self.clock.advance(0)
        return running

    def started(self) -> RedisStore:
        store = self.store()
        self.successResultOf(self.run_(store.start()))
        if self.redis.sides:
            self.redis.side.heard()
        return store

    def stop(self, store: RedisStore) -> None:
        """Nothing stays behind."""
        self.successResultOf(self.run_(store.stop()))
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual([side for side in self.redis.sides if side.open], [])

    def refused_at_once(self, store: RedisStore) -> None:
        self.failureResultOf(Deferred.fromCoroutine(store.call("GET", "a")), ServerBusy)


class CallTests(RedisCase):
    """While Redis is well."""

    def test_in_order(self) -> None:
        """Calls share a connection; each gets its own reply, numbers and text as they are."""
        store = self.started()
        calls = [self.run_(store.call("GET", key)) for key in "abc"]
        self.assertEqual(self.redis.side.heard(), [["GET", "a"], ["GET", "b"], ["GET", "c"]])
        self.redis.side.say(bulk("007") + b":7\r\n$-1\r\n")
        self.assertEqual([self.successResultOf(call) for call in calls], [b"007", 7, None])
        self.stop(store)

    def test_script(self) -> None:
        """A script goes by its hash, and whole to a Redis that does not know it."""
        store = self.started()
        script = Script("return 1")
        call = self.run_(store.run(script, ["k"], ["v", 5]))
        self.assertEqual(self.redis.side.heard(), [["EVALSHA", script.sha, "1", "k", "v", "5"]])
        self.redis.side.say(b"-NOSCRIPT No matching script.\r\n")
        self.assertEqual(self.redis.side.heard(), [["EVAL", "return 1", "1", "k", "v", "5"]])
        self.redis.side.say(b":1\r\n")
        self.assertEqual(self.successResultOf(call), 1)
        self.stop(store)

    def test_refusals(self) -> None:
        """What Redis refuses is ServerBusy, and the log says why, once for the same reason."""
        store = self.started()
        for _ in range(3):
            call = self.run_(store.call("SET", "a", "b"))
            self.redis.side.say(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n")
            self.failureResultOf(call, ServerBusy)
        self.assertEqual(len(self.log), 1)
        self.assertIn("refuses what it is asked: OOM", self.log[0])
        self.assertEqual(store.counts()["errors"], 3)
        self.stop(store)

    def test_became_replica(self) -> None:
        """A Redis that may not be written to any more is left; the name may lead to the new one."""
        store = self.started()
        call = self.run_(store.call("SET", "a", "b"))
        self.redis.side.say(b"-READONLY You can't write against a read only replica.\r\n")
        self.failureResultOf(call, ServerBusy)
        self.clock.advance(0)
        self.assertEqual([side.open for side in self.redis.sides], [False, True])
        self.stop(store)

    def test_bounded(self) -> None:
        """Calls above a number are refused instead of queued."""
        store = self.started()
        calls = [self.run_(store.call("GET", "a")) for _ in range(MAX_CALLS)]
        self.refused_at_once(store)
        self.redis.side.say(b":1\r\n" * MAX_CALLS)
        self.assertEqual({self.successResultOf(call) for call in calls}, {1})
        self.stop(store)


class GivenUpTests(RedisCase):
    """No reply may reach anybody but who asked."""

    def test_out_of_time(self) -> None:
        """A call that runs out of time takes its connection with it; the next ones get a new one at once."""
        store = self.started()
        first, side = self.run_(store.call("GET", "a")), self.redis.side
        self.clock.advance(CALL_TIMEOUT_S)
        self.failureResultOf(first, ServerBusy)
        self.assertFalse(side.open)
        second = self.run_(store.call("GET", "b"))
        side.line.dataReceived(bulk("late"))
        self.assertNoResult(second)
        self.redis.side.say(bulk("of b"))
        self.assertEqual(self.successResultOf(second), b"of b")
        self.assertEqual(store.counts()["timeouts"], 1)
        self.stop(store)

    def test_cancelled(self) -> None:
        """A connection with a cancelled call still answers those under way, each with its own, takes no more
        and is closed."""
        store = self.started()
        calls = [self.run_(store.call("GET", key)) for key in "abc"]
        side = self.redis.side
        calls[1].cancel()
        self.failureResultOf(calls[1], CancelledError)
        self.clock.advance(0)
        later = self.run_(store.call("GET", "d"))
        self.assertEqual(len(side.heard()), 3)
        side.say(bulk("of a") + bulk("of b"))
        self.assertTrue(side.open)
        side.say(bulk("of c"))
        self.assertFalse(side.open)
        self.assertEqual(self.successResultOf(calls[0]), b"of a")
        self.assertEqual(self.successResultOf(calls[2]), b"of c")
        self.redis.side.say(bulk("of d"))
        self.assertEqual(self.successResultOf(later), b"of d")
        self.stop(store)

    def test_cancelled_unanswered(self) -> None:
        """A connection with a cancelled call does not wait for its reply longer than the call would have."""
        store = self.started()
        call, side = self.run_(store.call("GET", "a")), self.redis.side
        call.cancel()
        self.failureResultOf(call, CancelledError)
        self.clock.advance(CALL_TIMEOUT_S)
        self.assertFalse(side.open)
        self.stop(store)

    def test_cancelled_while_waiting(self) -> None:
        """Who is cancelled while the connection is made harms nobody."""
        store = self.started()
        self.redis.side.hang_up()
        self.redis.answers = None
        self.clock.advance(0)
        calls = [self.run_(store.call("GET", key)) for key in "ab"]
        calls[0].cancel()
        self.failureResultOf(calls[0], CancelledError)
        self.redis.side.say(info())
        self.assertEqual(self.redis.side.heard(), [["INFO"], ["GET", "b"]])
        self.redis.side.say(bulk("of b"))
        self.assertEqual(self.successResultOf(calls[1]), b"of b")
        self.stop(store)

    def test_stopped(self) -> None:
        """Whoever still waits at the end is told."""
        store = self.started()
        call = self.run_(store.call("GET", "a"))
        self.stop(store)
        self.failureResultOf(call, ServerBusy)
        self.refused_at_once(store)


class AwayTests(RedisCase):
    """While Redis is not well."""

    def test_not_there_at_start(self) -> None:
        """The server starts without Redis, says so once, refuses calls at once, and uses it when it comes."""
        self.redis.refuses = True
        store = self.started()
        self.assertFalse(store.is_up())
        for _ in range(200):
            self.clock.advance(0.1)
            self.refused_at_once(store)
        self.assertEqual(len(self.log), 1)
        self.assertIn("redis:6379 cannot be used: Connection was refused", self.log[0])
        gaps = [b - a for a, b in zip(self.redis.tried_s, self.redis.tried_s[1:], strict=False)]
        self.assertLess(gaps[0], 0.3)
        self.assertAlmostEqual(gaps[-1], LAST_PROBE_S, delta=0.11)
        self.assertLess(len(gaps), 16)
        self.redis.refuses = False
        self.clock.pump([0.1] * 21)
        self.assertTrue(store.is_up())
        self.assertIn("is used again", self.log[1])
        self.stop(store)

    def test_restarted(self) -> None:
        """A connection that is lost is made anew at once; calls wait for it, as far as they have the time."""
        store = self.started()
        lost = self.run_(store.call("GET", "a"))
        self.redis.side.hang_up()
        self.clock.advance(0)
        self.failureResultOf(lost, ServerBusy)
        self.redis.side.heard()
        call = self.run_(store.call("GET", "b"))
        self.redis.side.say(bulk("of b"))
        self.assertEqual(self.successResultOf(call), b"of b")
        self.assertEqual(self.log, [])
        self.stop(store)

    def test_strange_answer(self) -> None:
        """Whatever goes wrong while a connection is made, another one is tried, and used."""
        store = self.started()
        self.redis.answers = [b":5\r\n"]
        self.redis.side.hang_up()
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertFalse(store.is_up())
        self.redis.answers = [info()]
        self.clock.pump([LAST_PROBE_S, 0.0, 0.0])
        self.assertTrue(store.is_up())
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        self.stop(store)

    def test_hangs(self) -> None:
        """A Redis that accepts and says nothing costs two time-outs, and nothing from then on until it speaks."""
        store = self.started()
        self.redis.answers = None
        for _ in range(2):
            call = self.run_(store.call("GET", "a"))
            self.clock.advance(CALL_TIMEOUT_S)
            self.failureResultOf(call, ServerBusy)
        self.refused_at_once(store)
        self.clock.advance(OPEN_TIMEOUT_S)
        self.assertIn("does not answer within 1 s", self.log[0])
        for _ in range(50):
            self.refused_at_once(store)
            self.clock.advance(0.1)
        self.redis.side.say(info())
        self.assertTrue(store.is_up())
        self.stop(store)

    def test_slow(self) -> None:
        """A Redis that lets us in and then is too slow for every call is asked ever more seldom."""
        store = self.started()
        for _ in range(1000):
            call: Deferred[Any] = Deferred.fromCoroutine(store.call("GET", "a"))
            self.clock.pump([0.0, CALL_TIMEOUT_S])
            self.failureResultOf(call, ServerBusy)
        asked = store.counts()["timeouts"]
        self.assertLess(asked, 50)
        self.assertEqual(store.counts()["refused"], 1000 - asked)
        self.stop(store)

    def test_stop_while_away(self) -> None:
        """Stopping ends the search, at whatever point it is."""
        self.redis.refuses = True
        self.stop(self.started())
        store = self.started()
        self.redis.refuses, self.redis.unreachable = False, True
        self.clock.advance(0.1)
        self.stop(store)
        self.redis.unreachable = False
        self.redis.answers = None
        store = self.store()
        starting = self.run_(store.start())
        self.clock.advance(OPEN_TIMEOUT_S)
        self.successResultOf(starting)
        self.clock.advance(0.1)
        self.stop(store)


class WrongRedisTests(RedisCase):
    """What the operator is told."""

    def start_error(self, *answers: bytes, **login: Any) -> str:
        self.redis.answers = list(answers)
        failure = self.failureResultOf(self.run_(self.store(**login).start()), StartupError)
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(self.redis.side.open)
        return str(failure.value)

    def test_never(self) -> None:
        """What does not heal by itself ends the start."""
        wrong = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
        self.assertIn("WRONGPASS", self.start_error(wrong, password="guess"))
        self.assertEqual(self.redis.side.heard(), [["AUTH", "guess"]])
        self.assertIn("password_file", self.start_error(b"-NOAUTH Authentication required.\r\n"))
        unprotected = b"-ERR AUTH <password> called without any password configured for the default user.\r\n"
        self.assertIn("without any password", self.start_error(unprotected, user="imd", password="x"))
        self.assertEqual(self.redis.side.heard(), [["AUTH", "imd", "x"]])
        self.assertIn("[redis] database", self.start_error(b"-ERR DB index is out of range\r\n", database=99))
        self.assertIn("it is Redis 5.0.14; 6.0", self.start_error(info(redis_version="5.0.14")))
        self.assertIn("Redis Cluster", self.start_error(info(cluster_enabled="1")))

    def test_login(self) -> None:
        """User, password and database are said before anything else."""
        self.redis.answers = [b"+OK\r\n", b"+OK\r\n", info()]
        store = self.store(user="imd", password="secret", database=3)
        self.successResultOf(self.run_(store.start()))
        self.assertEqual(self.redis.side.heard(), [["AUTH", "imd", "secret"], ["SELECT", "3"], ["INFO"]])
        self.assertTrue(store.is_up())
        self.stop(store)

    def test_not_now(self) -> None:
        """A replica, or one that still loads, is not used; the search goes on."""
        for answer, why in ((info(role="slave"), "replica"), (info(loading="1"), "still loading")):
            self.log.clear()
            self.redis.answers = [answer]
            store = self.started()
            self.assertFalse(store.is_up())
            self.assertIn(why, self.log[0])
            self.redis.answers = [info()]
            self.clock.pump([0.1, 0])
            self.assertTrue(store.is_up())
            self.stop(store)

    def test_evicts(self) -> None:
        """A Redis that throws away what it likes is used, under protest."""
        self.redis.answers = [info(maxmemory_policy="allkeys-lru")]
        store = self.started()
        self.assertTrue(store.is_up())
        self.assertIn("maxmemory-policy is allkeys-lru; set maxmemory-policy noeviction", self.log[0])
        self.stop(store)

    def test_password_changed_later(self) -> None:
        """A password that is changed while we run is said, and tried until it is right again."""
        store = self.started()
        self.redis.answers = [b"-NOAUTH Authentication required.\r\n"]
        self.redis.side.hang_up()
        self.clock.pump([0, 0, 0])
        self.refused_at_once(store)
        self.assertIn("check [redis] user and password_file", self.log[0])
        self.redis.answers = [info()]
        self.clock.pump([0.1, 0])
        self.assertTrue(store.is_up())
        self.stop(store)
