"""NatsBus while its server is killed, wiped, stopped, paused or refuses: nothing durable is lost, nobody waits."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet import reactor  # noqa: TID251 -- a real server, on real time
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from imd.bus import nats, nats_consumer, nats_inbound, nats_link
from imd.bus.nats import NatsBus
from imd.bus.nats_connection import NatsConnection
from imd.bus.nats_link import Login
from imd.bus.nats_streams import STREAMS
from imd.bus.port import BusFailure, BusRefused, NoResponder
from imd.bus.subjects import AUTH_INVALIDATE
from imd.ctl.cluster.engines import Nats
from imd.kernel.errors import ImError
from tests.contract.bus import Received
from tests.live.nats_server import bus_on, open_server, pause

#: More than any of these needs, on a busy machine.
PATIENCE_S = 20.0


async def until(condition: Callable[[], bool]) -> None:
    """Look again and again; the test's own time-out ends it."""
    while not condition():
        await pause(0.02)


class NatsCase(TestCase):
    """One server of the test's own."""

    timeout = 40

    server: Nats

    def setUp(self) -> Any:
        starting = deferToThread(open_server, self)
        return starting.addCallback(lambda started: setattr(self, "server", started))

    async def bus(self, **how: Any) -> NatsBus:
        made = bus_on(self.server, **how)
        await made.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(made.stop()))
        return made


async def echo(payload: bytes) -> bytes:
    """A responder."""
    return payload


class RestartTests(NatsCase):
    """The server goes and comes back."""

    async def test_killed_under_load(self) -> None:
        """All events that were recorded arrive in order, none twice but for a repeated last one; listeners
        to gaps are told; requests in flight and publishing fail at once; subscriptions are there again."""
        bus = await self.bus()
        gaps: list[bool] = []
        bus.on_gap(lambda: gaps.append(bus.is_connected()))
        consumed, heard = Received(), Received()
        bus.consume("im.test.events", "follower", consumed)
        bus.subscribe("im.other.heard", heard)
        never: Deferred[bytes] = Deferred()
        bus.respond("im.other.stuck", lambda _: never)
        recorded: list[bytes] = []
        stop = False

        async def publish() -> None:
            number = 0
            while not stop:
                number += 1
                payload = b"%d" % number
                # Whoever does not know whether it was recorded sends it again.
                while payload not in recorded[-1:]:
                    try:
                        await bus.publish_durable("im.test.events", payload)
                    except ImError:
                        await pause(0.01)
                        continue
                    recorded.append(payload)

        publishing = Deferred.fromCoroutine(publish())
        await until(lambda: len(recorded) >= 100)
        stuck = Deferred.fromCoroutine(bus.request("im.other.stuck", b"", timeout_s=PATIENCE_S))
        await pause(0.1)
        await deferToThread(self.server.kill)
        await self.assertFailure(stuck, BusFailure)
        await until(lambda: not bus.is_connected())
        self.assertRaises(BusRefused, bus.publish, "im.other.heard", b"lost")
        asked = Deferred.fromCoroutine(bus.request("im.other.echo", b"", timeout_s=PATIENCE_S))
        await self.assertFailure(asked, BusRefused)
        self.assertEqual(gaps, [])
        before = len(recorded)
        await deferToThread(self.server.start)
        await until(lambda: len(recorded) >= before + 100)
        stop = True
        await publishing
        bus.publish("im.other.heard", b"again")
        await until(lambda: consumed.payloads[-1:] == recorded[-1:] and heard.payloads == [b"again"])
        self.assertEqual(list(dict.fromkeys(consumed.payloads)), recorded)
        self.assertEqual(gaps, [True])
        self.assertEqual(bus.counts()["reconnects"], 1)
        never.callback(b"")

    async def test_empty_store(self) -> None:
        """A server that lost its disk gets its streams and consumers again, and events flow."""
        bus = await self.bus()
        consumed = Received()
        bus.consume("im.test.events", "follower", consumed)
        for payload in (b"1", b"2", b"3"):
            await bus.publish_durable("im.test.events", payload)
        await until(lambda: len(consumed.messages) == 3)
        await deferToThread(self.server.kill)
        await deferToThread(self.server.wipe)
        await deferToThread(self.server.start)
        await bus.publish_durable("im.test.events", b"4")
        await until(lambda: consumed.payloads == [b"1", b"2", b"3", b"4"])

    async def test_deleted_stream(self) -> None:
        """A stream that vanishes under a live connection is made again by whoever publishes first."""
        bus = await self.bus()
        await bus.publish_durable("im.test.events", b"gone")
        await bus._jetstream.api("STREAM.DELETE.im-test", {})
        await bus.publish_durable("im.test.events", b"1")
        consumed = Received()
        bus.consume("im.test.events", "follower", consumed)
        await until(lambda: consumed.payloads == [b"1"])
        await bus._jetstream.api("STREAM.DELETE.im-test", {})
        await bus.publish_durable("im.test.events", b"2")
        await until(lambda: consumed.payloads == [b"1", b"2"])

    async def test_deleted_consumer(self) -> None:
        """A consumer that somebody deleted is made again; the event that it did last is not done again."""
        bus = await self.bus()
        consumed = Received()
        bus.consume("im.test.events", "follower", consumed)
        await bus.publish_durable("im.test.events", b"1")
        await until(lambda: len(consumed.messages) == 1)
        await bus._jetstream.api("CONSUMER.DELETE.im-test.follower_im_test_events", {})
        await bus.publish_durable("im.test.events", b"2")
        await until(lambda: consumed.payloads == [b"1", b"2"])


class MistakeTests(NatsCase):
    """Something of ours raises where nobody expects it."""

    async def test_when_it_is_up(self) -> None:
        """It costs the link and what was asked on it; the next link serves all as before."""
        ups: list[bool] = []

        def on_up(is_first: bool) -> None:
            ups.append(is_first)
            if is_first:
                raise RuntimeError("planted")

        clock: Any = reactor
        connection = NatsConnection(
            servers=[f"nats://{self.server.address}"],
            login=Login("test", self.server.user, self.server.password, None),
            clock=clock,
            random=Random().random,
            loop=reactor._asyncioEventloop,  # type: ignore[attr-defined]
            on_up=on_up,
        )
        heard: list[bytes] = []
        connection.listen("im.other.heard", lambda _subject, _reply, payload, _headers: heard.append(payload))
        await connection.start(PATIENCE_S)
        self.addCleanup(lambda: Deferred.fromCoroutine(connection.stop()))
        await until(lambda: len(ups) == 2)
        connection.publish("im.other.heard", b"on the second")
        await until(lambda: heard == [b"on the second"])
        self.assertEqual((ups, len(self.flushLoggedErrors(RuntimeError))), ([True, False], 1))


class CatchUpTests(NatsCase):
    """What was recorded before a node began."""

    async def test_once(self) -> None:
        """A node is not ready before it has seen all of it once; what comes later does not make it unready."""
        first = await self.bus()
        for number in range(20):
            await first.publish_durable(AUTH_INVALIDATE, b"%d" % number)
        second = await self.bus()
        seen: list[bytes] = []
        last: Deferred[None] = Deferred()

        async def slow_at_the_end(_: str, payload: bytes) -> None:
            seen.append(payload)
            if payload == b"19":
                await last

        second.consume(AUTH_INVALIDATE, "late", slow_at_the_end)
        self.assertFalse(second.is_caught_up())
        await until(lambda: len(seen) == 20)
        self.assertFalse(second.is_caught_up())
        last.callback(None)
        await until(second.is_caught_up)
        await first.publish_durable(AUTH_INVALIDATE, b"19")
        self.assertTrue(second.is_caught_up())

    async def test_never(self) -> None:
        """What nobody can handle keeps a node out for a while only, and the log says so."""
        first = await self.bus()
        await first.publish_durable(AUTH_INVALIDATE, b"poison")
        self.patch(nats, "CATCH_UP_TIMEOUT_S", 0.5)
        second = await self.bus()

        async def chokes(_: str, payload: bytes) -> None:
            raise RuntimeError("planted")

        second.consume(AUTH_INVALIDATE, "late", chokes)
        self.assertFalse(second.is_caught_up())
        await until(second.is_caught_up)
        self.flushLoggedErrors(RuntimeError)


class PausedTests(NatsCase):
    """The server's process is stopped: connections stay, nothing is read."""

    async def test_five_seconds(self) -> None:
        """Requests end by their time-out, publishing is refused before memory fills, and all goes on after."""
        bus = await self.bus()
        bus.respond("im.other.echo", echo)
        self.assertEqual(await bus.request("im.other.echo", b"1", timeout_s=PATIENCE_S), b"1")
        await deferToThread(self.server.pause)
        asked = Deferred.fromCoroutine(bus.request("im.other.echo", b"2", timeout_s=0.5))
        await self.assertFailure(asked, TimeoutError)
        sent = 0
        with contextlib.suppress(BusRefused):
            while sent < 1000:
                bus.publish("im.other.void", bytes(64 * 1024))
                sent += 1
                await pause(0)
        # 1 MB of our own, and what the kernel's buffers take.
        self.assertLess(sent, 500)
        self.assertLess(bus.counts()["pending_bytes"], 2 * nats_link.MAX_QUEUED_BYTES)
        await pause(4.5)
        await deferToThread(self.server.resume)
        await until(lambda: bus.counts()["pending_bytes"] == 0)
        self.assertEqual(await bus.request("im.other.echo", b"3", timeout_s=PATIENCE_S), b"3")
        self.assertEqual(bus.counts()["reconnects"], 0)
        self.assertEqual(bus.counts()["request_timeouts"], 1)

    async def test_small_messages(self) -> None:
        """A thousand messages may wait, not more."""
        bus = await self.bus()
        await deferToThread(self.server.pause)
        with self.assertRaises(BusRefused):
            for _ in range(200_000):
                bus.publish("im.other.void", b"x" * 100)
        self.assertLessEqual(bus.counts()["pending_messages"], nats_link.MAX_QUEUED_MESSAGES)
        await deferToThread(self.server.resume)
        await until(lambda: bus.counts()["pending_messages"] == 0)
        bus.publish("im.other.void", b"")

    async def test_half_open(self) -> None:
        """A connection on which no ping is answered is given up; another one is made when it can be."""
        self.patch(nats_link, "PING_INTERVAL_S", 0.2)
        bus = await self.bus()
        await deferToThread(self.server.pause)
        await until(lambda: not bus.is_connected())
        await deferToThread(self.server.resume)
        await until(bus.is_connected)
        bus.respond("im.other.echo", echo)
        self.assertEqual(await bus.request("im.other.echo", b"1", timeout_s=PATIENCE_S), b"1")


class SlowTests(NatsCase):
    """A subscriber that does not keep up."""

    async def test_dropped(self) -> None:
        """What it has no room for is dropped, counted, logged once and told as one gap; the rest arrives."""
        self.patch(nats_inbound, "MAX_WAITING_MESSAGES", 10)
        bus = await self.bus()
        gaps: list[int] = []
        bus.on_gap(lambda: gaps.append(bus.counts()["dropped_by_slow_consumers"]))
        gate: Deferred[None] = Deferred()
        slow, quick = Received(), Received()

        async def wait(subject: str, payload: bytes) -> None:
            await gate
            await slow(subject, payload)

        bus.subscribe("im.other.heard", wait)
        bus.subscribe("im.other.heard", quick)
        for number in range(50):
            bus.publish("im.other.heard", b"%d" % number)
        await until(lambda: len(quick.messages) == 50)
        self.assertEqual(gaps, [])
        await until(lambda: bool(gaps))
        self.assertEqual(gaps, [39])
        gate.callback(None)
        await until(lambda: slow.payloads == [b"%d" % number for number in range(11)])


class DeadLetterTests(NatsCase):
    """What a handler cannot handle."""

    async def test_put_aside(self) -> None:
        """The event lies in stream im-dead with its subject, its consumer and the reason; the next one is handled."""
        bus = await self.bus()
        good = Received()

        async def chokes(subject: str, payload: bytes) -> None:
            if payload == b"poison":
                raise RuntimeError("planted:\r\n evil")
            await good(subject, payload)

        bus.consume("im.test.events", "follower", chokes)
        await bus.publish_durable("im.test.events", b"poison")
        await bus.publish_durable("im.test.events", b"good")
        await until(lambda: good.payloads == [b"good"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 5)
        found = await bus._jetstream.api("STREAM.MSG.GET.im-dead", {"last_by_subj": "im.dead.>"})
        message = found["message"]
        self.assertEqual(message["subject"], "im.dead.follower.im.test.events")
        self.assertEqual(base64.b64decode(message["data"]), b"poison")
        headers = base64.b64decode(message["hdrs"]).decode()
        self.assertIn("Im-Reason: RuntimeError: planted: evil\r\n", headers)
        self.assertIn("Im-Subject: im.test.events\r\n", headers)
        self.assertEqual(bus.counts()["dead_letters"], 1)

    async def test_kills_its_process(self) -> None:
        """An event that is never finished is put aside unseen after twenty deliveries."""
        self.patch(nats_consumer, "MAX_DELIVERIES", 0)
        bus = await self.bus()
        consumed = Received()
        bus.consume("im.test.events", "follower", consumed)
        await bus.publish_durable("im.test.events", b"deadly")
        await until(lambda: bus.counts()["dead_letters"] == 1)
        self.assertEqual(consumed.messages, [])


class StopTests(NatsCase):
    """A bus that is stopped."""

    async def test_handlers_end_and_answers_go_out(self) -> None:
        """Who is at work when the bus stops finishes and is heard; who asks later finds nobody."""
        caller, server = await self.bus(), await self.bus()
        gate: Deferred[bytes] = Deferred()
        server.respond("im.other.slow", lambda _: gate)
        await pause(0.1)
        asked = Deferred.fromCoroutine(caller.request("im.other.slow", b"", timeout_s=PATIENCE_S))
        await until(lambda: server.counts()["pending_handlers"] == 1)
        stopped = Deferred.fromCoroutine(server.stop())
        await pause(0.1)
        late = Deferred.fromCoroutine(caller.request("im.other.slow", b"", timeout_s=PATIENCE_S))
        await self.assertFailure(late, NoResponder)
        self.assertNoResult(stopped)
        gate.callback(b"done")
        self.assertEqual(await asked, b"done")
        await stopped
        self.assertRaises(BusRefused, server.publish, "im.other.a", b"")

    async def test_withdrawn(self) -> None:
        """Who withdraws ends what it has, and no request that comes later waits for it: others answer."""
        caller, leaving, staying = await self.bus(), await self.bus(), await self.bus()
        gate: Deferred[bytes] = Deferred()
        leaving.respond("im.other.slow", lambda _: gate)
        await pause(0.1)
        asked = Deferred.fromCoroutine(caller.request("im.other.slow", b"", timeout_s=PATIENCE_S))
        await until(lambda: leaving.counts()["pending_handlers"] == 1)
        staying.respond("im.other.slow", echo)
        await pause(0.1)
        withdrawn = Deferred.fromCoroutine(leaving.withdraw())
        await pause(0.1)
        for _ in range(20):
            self.assertEqual(await caller.request("im.other.slow", b"x", timeout_s=PATIENCE_S), b"x")
        self.assertNoResult(withdrawn)
        gate.callback(b"done")
        self.assertEqual(await asked, b"done")
        await withdrawn
        # It is still a bus.
        leaving.publish("im.other.a", b"")

    async def test_event_in_hand(self) -> None:
        """The event at work is finished, however long that takes, and acknowledged; a second process with the
        same consumer gets what follows, and only that."""
        first, second, received = await self.bus(), await self.bus(), Received()
        gate: Deferred[None] = Deferred()
        begun = Received()

        async def slow(subject: str, payload: bytes) -> None:
            await begun(subject, payload)
            await gate

        first.consume("im.test.events", "follower", slow)
        await first.publish_durable("im.test.events", b"1")
        await until(lambda: begun.payloads == [b"1"])
        second.consume("im.test.events", "follower", received)
        await first.publish_durable("im.test.events", b"2")
        # Longer than the ack wait.
        await pause(1.5)
        self.assertEqual((begun.payloads, received.payloads), ([b"1"], []))
        stopped = Deferred.fromCoroutine(first.stop())
        gate.callback(None)
        await stopped
        await until(lambda: bool(received.messages))
        self.assertEqual((begun.payloads, received.payloads), ([b"1"], [b"2"]))


class DeclaredTests(NatsCase):
    """Streams and consumers as the table says."""

    async def test_shipped(self) -> None:
        """im-critical holds its six subjects for 7 days in files; a consumer acknowledges one at a time."""
        bus = bus_on(self.server, streams=STREAMS)
        await bus.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(bus.stop()))
        bus.consume("im.auth.update", "core-7", Received())
        await bus.publish_durable("im.auth.update", b"")
        info = (await bus._jetstream.api("STREAM.INFO.im-critical", {}))["config"]
        self.assertEqual(
            sorted(info["subjects"]),
            [
                "im.admin.config",
                "im.audit.log",
                "im.auth.invalidate",
                "im.auth.update",
                "im.message.ack",
                "im.notification.push",
            ],
        )
        self.assertEqual(
            (info["storage"], info["retention"], info["max_age"], info["duplicate_window"]),
            ("file", "limits", 7 * 24 * 3600 * 10**9, 300 * 10**9),
        )
        await pause(0.2)
        name = "CONSUMER.INFO.im-critical.core-7_im_auth_update"
        consumer = (await bus._jetstream.api(name, {}))["config"]
        self.assertEqual(
            (consumer["ack_policy"], consumer["ack_wait"], consumer["max_ack_pending"]),
            ("explicit", 30 * 10**9, 1),
        )
        self.assertEqual(consumer["inactive_threshold"], 7 * 24 * 3600 * 10**9)

    async def test_changed(self) -> None:
        """A stream that was declared otherwise by an older release is updated."""
        bus = await self.bus()
        old = bus._streams[0]._replace(max_bytes=32 * 1024**2)
        await self.bus(streams=(old,))
        self.assertEqual(await self._max_bytes(bus), 32 * 1024**2)
        await self.bus()
        self.assertEqual(await self._max_bytes(bus), 64 * 1024**2)

    async def _max_bytes(self, bus: NatsBus) -> int:
        return int((await bus._jetstream.api("STREAM.INFO.im-test", {}))["config"]["max_bytes"])

    async def test_recorded_once(self) -> None:
        """An event that is sent again with its id is in the stream once."""
        bus = await self.bus()
        for _ in range(3):
            await bus._jetstream.record("im.test.events", b"1", {"Nats-Msg-Id": "same"})
        state = (await bus._jetstream.api("STREAM.INFO.im-test", {}))["state"]
        self.assertEqual(state["messages"], 1, json.dumps(state))
