"""What every bus promises, as scenarios; an implementation brings ``make``, ``drive`` and ``pause``."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import wraps
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.trial.unittest import SynchronousTestCase

from imd.bus.port import MAX_PAYLOAD_BYTES, Bus, BusFailure, NoResponder
from imd.bus.subjects import ADMIN_CONFIG, AUTH_INVALIDATE, FADES_AFTER_S
from imd.kernel.trace_context import TraceContext, carried, carrying

#: Long for a bus, short for whoever runs the suite in real time.
SOON_S = 0.05

_mark: ContextVar[str] = ContextVar("mark", default="")


def scenario(work: Callable[[Any], Coroutine[Any, Any, None]]) -> Callable[[Any], Any]:
    """Makes a test of an ``async def``, by the case's own ``drive``."""

    @wraps(work)
    def test(self: Any) -> Any:
        return self.drive(work(self))

    return test


class Received:
    """A subscriber that keeps what it got."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []

    async def __call__(self, subject: str, payload: bytes) -> None:
        self.messages.append((subject, payload))

    @property
    def payloads(self) -> list[bytes]:
        return [payload for _, payload in self.messages]


class BusCase(SynchronousTestCase):
    """What the contract needs from the implementation under test."""

    def drive(self, work: Coroutine[Any, Any, None]) -> Any:
        """Run a scenario; the result is the test's."""
        raise NotImplementedError

    async def make(self) -> Bus:
        """A started bus that nobody else uses; stopped after the test."""
        raise NotImplementedError

    def pause(self, delay_s: float) -> Deferred[None]:
        """Let time pass on the bus's clock."""
        raise NotImplementedError


class BusContract(BusCase):
    """Publish, subscribe, request."""

    @scenario
    async def test_publish_reaches_every_subscriber(self) -> None:
        """Each subscriber of a subject gets each payload once, in the order of publishing."""
        bus = await self.make()
        first, second, other = Received(), Received(), Received()
        bus.subscribe("im.test.a", first)
        bus.subscribe("im.test.a", second)
        bus.subscribe("im.test.b", other)
        await self.pause(SOON_S)
        for number in range(50):
            bus.publish("im.test.a", b"%d" % number)
        await self.pause(SOON_S)
        expected = [("im.test.a", b"%d" % number) for number in range(50)]
        self.assertEqual(first.messages, expected)
        self.assertEqual(second.messages, expected)
        self.assertEqual(other.messages, [])

    @scenario
    async def test_publish_returns_first(self) -> None:
        """Nobody has seen the payload when publish returns."""
        bus = await self.make()
        received = Received()
        bus.subscribe("im.test.a", received)
        await self.pause(SOON_S)
        bus.publish("im.test.a", b"x")
        self.assertEqual(received.messages, [])
        await self.pause(SOON_S)
        self.assertEqual(received.payloads, [b"x"])

    @scenario
    async def test_payload_is_copied(self) -> None:
        """What the sender does with its buffer afterwards changes nothing."""
        bus = await self.make()
        received = Received()
        bus.subscribe("im.test.a", received)
        await self.pause(SOON_S)
        buffer = bytearray(b"before")
        bus.publish("im.test.a", buffer)  # type: ignore[arg-type]
        buffer[:] = b"after!"
        await self.pause(SOON_S)
        self.assertEqual(received.payloads, [b"before"])
        self.assertIs(type(received.payloads[0]), bytes)

    @scenario
    async def test_wildcards(self) -> None:
        """``*`` stands for one token, a final ``>`` for one or more."""
        bus = await self.make()
        one, rest, everything = Received(), Received(), Received()
        bus.subscribe("im.*.a", one)
        bus.subscribe("im.test.>", rest)
        bus.subscribe(">", everything)
        await self.pause(SOON_S)
        for subject in ("im.test.a", "im.test.a.b", "im.test", "im.other.a"):
            bus.publish(subject, b"")
        await self.pause(SOON_S)
        self.assertEqual([s for s, _ in one.messages], ["im.test.a", "im.other.a"])
        self.assertEqual([s for s, _ in rest.messages], ["im.test.a", "im.test.a.b"])
        self.assertEqual(len(everything.messages), 4)

    @scenario
    async def test_one_at_a_time(self) -> None:
        """A subscriber that takes its time gets the next payload when it is done; others do not wait."""
        bus = await self.make()
        begun: list[bytes] = []
        gate: Deferred[None] = Deferred()

        async def slow(_: str, payload: bytes) -> None:
            begun.append(payload)
            if len(begun) == 1:
                await gate

        quick = Received()
        bus.subscribe("im.test.a", slow)
        bus.subscribe("im.test.a", quick)
        await self.pause(SOON_S)
        for payload in (b"1", b"2", b"3"):
            bus.publish("im.test.a", payload)
        await self.pause(SOON_S)
        self.assertEqual(begun, [b"1"])
        self.assertEqual(quick.payloads, [b"1", b"2", b"3"])
        gate.callback(None)
        await self.pause(SOON_S)
        self.assertEqual(begun, [b"1", b"2", b"3"])

    @scenario
    async def test_failing_subscriber(self) -> None:
        """A subscriber that raises misses nothing of what follows, and harms no other."""
        bus = await self.make()
        seen: list[bytes] = []

        async def failing(_: str, payload: bytes) -> None:
            seen.append(payload)
            raise RuntimeError("planted")

        quick = Received()
        bus.subscribe("im.test.a", failing)
        bus.subscribe("im.test.a", quick)
        await self.pause(SOON_S)
        bus.publish("im.test.a", b"1")
        bus.publish("im.test.a", b"2")
        await self.pause(SOON_S)
        self.assertEqual(seen, [b"1", b"2"])
        self.assertEqual(quick.payloads, [b"1", b"2"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)

    @scenario
    async def test_request(self) -> None:
        """A request comes back with the responder's answer, also through a wildcard."""
        bus = await self.make()

        async def shout(payload: bytes) -> bytes:
            return payload.upper()

        bus.respond("im.test.shout.*", shout)
        await self.pause(SOON_S)
        self.assertEqual(await bus.request("im.test.shout.7", b"hi", timeout_s=1), b"HI")

    @scenario
    async def test_requests_do_not_queue_behind_each_other(self) -> None:
        """While one answer takes its time, the next is given."""
        bus = await self.make()
        gate: Deferred[None] = Deferred()

        async def responder(payload: bytes) -> bytes:
            if payload == b"slow":
                await gate
            return payload

        bus.respond("im.test.a", responder)
        await self.pause(SOON_S)
        slow = Deferred.fromCoroutine(bus.request("im.test.a", b"slow", timeout_s=5))
        self.assertEqual(await bus.request("im.test.a", b"quick", timeout_s=1), b"quick")
        gate.callback(None)
        self.assertEqual(await slow, b"slow")

    @scenario
    async def test_responders_share(self) -> None:
        """Of several responders of a subject, exactly one gets each request."""
        bus = await self.make()
        served: list[str] = []

        def responder(name: str) -> Callable[[bytes], Coroutine[Any, Any, bytes]]:
            async def respond(_: bytes) -> bytes:
                served.append(name)
                return b""

            return respond

        bus.respond("im.test.a", responder("left"))
        bus.respond("im.test.a", responder("right"))
        await self.pause(SOON_S)
        for _ in range(40):
            await bus.request("im.test.a", b"", timeout_s=1)
        self.assertEqual(len(served), 40)
        self.assertEqual(set(served), {"left", "right"})

    @scenario
    async def test_no_responder(self) -> None:
        """A request that nobody serves fails at once, not after its time-out."""
        bus = await self.make()
        failed = Deferred.fromCoroutine(bus.request("im.test.nobody", b"", timeout_s=3600))
        try:
            await failed
        except NoResponder:
            return
        self.fail("nobody answered, and yet it did not fail")

    @scenario
    async def test_time_out(self) -> None:
        """A responder that does not answer costs its time-out; its late answer goes nowhere."""
        bus = await self.make()
        gate: Deferred[None] = Deferred()

        async def late(_: bytes) -> bytes:
            await gate
            return b"late"

        bus.respond("im.test.a", late)
        await self.pause(SOON_S)
        try:
            await bus.request("im.test.a", b"", timeout_s=SOON_S)
        except TimeoutError:
            pass
        else:
            self.fail("it should have timed out")
        gate.callback(None)
        await self.pause(SOON_S)

    @scenario
    async def test_failing_responder(self) -> None:
        """A responder that raises is a BusFailure to the caller, which says nothing of the inside."""
        bus = await self.make()

        async def failing(_: bytes) -> bytes:
            raise RuntimeError("secret detail")

        bus.respond("im.test.a", failing)
        await self.pause(SOON_S)
        try:
            await bus.request("im.test.a", b"", timeout_s=1)
        except BusFailure as failure:
            self.assertNotIn("secret", str(failure))
        else:
            self.fail("it should have failed")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    @scenario
    async def test_trace_of_a_publication(self) -> None:
        """Each subscriber handles each payload on behalf of whom it was published, also one that had to wait."""
        bus = await self.make()
        seen: dict[bytes, TraceContext | None] = {}
        gate: Deferred[None] = Deferred()

        async def subscriber(_: str, payload: bytes) -> None:
            if not seen:
                await gate
            seen[payload] = carried()

        bus.subscribe("im.test.a", subscriber)
        await self.pause(SOON_S)
        traces = {b"%d" % number: TraceContext(1 << number, 7) for number in range(50)}
        for payload, trace in traces.items():
            with carrying(trace):
                bus.publish("im.test.a", payload)
        bus.publish("im.test.a", b"of nobody")
        await self.pause(SOON_S)
        gate.callback(None)
        await self.pause(SOON_S)
        self.assertEqual(seen, {**traces, b"of nobody": None})

    @scenario
    async def test_trace_of_a_request(self) -> None:
        """Of many requests at a time each is answered on behalf of who asked, from the first step to the last."""
        bus = await self.make()
        gate: Deferred[None] = Deferred()
        waiting: list[bytes] = []

        async def responder(payload: bytes) -> bytes:
            before = carried()
            waiting.append(payload)
            await gate
            return repr((before, carried())).encode()

        bus.respond("im.test.a", responder)
        await self.pause(SOON_S)
        answers: list[tuple[TraceContext | None, Deferred[bytes]]] = []
        for number in range(50):
            trace = TraceContext(1 << number, number + 1) if number % 2 else None
            with carrying(trace):
                answers.append((trace, Deferred.fromCoroutine(bus.request("im.test.a", b"", timeout_s=30))))
        await self.pause(SOON_S)
        self.assertEqual(len(waiting), 50)
        gate.callback(None)
        for trace, answer in answers:
            self.assertEqual(await answer, repr((trace, trace)).encode())
        self.assertIsNone(carried())

    @scenario
    async def test_handlers_are_apart(self) -> None:
        """Of what its sender, or an earlier handler, has set for itself, a handler sees nothing."""
        bus = await self.make()
        seen: list[str] = []

        async def subscriber(_: str, __: bytes) -> None:
            seen.append(_mark.get())
            _mark.set("of a handler")

        async def responder(_: bytes) -> bytes:
            return _mark.get().encode()

        bus.subscribe("im.test.a", subscriber)
        bus.respond("im.test.b", responder)
        await self.pause(SOON_S)
        token = _mark.set("of the sender")
        try:
            bus.publish("im.test.a", b"1")
            bus.publish("im.test.a", b"2")
            self.assertEqual(await bus.request("im.test.b", b"", timeout_s=1), b"")
            await self.pause(SOON_S)
        finally:
            _mark.reset(token)
        self.assertEqual(seen, ["", ""])

    @scenario
    async def test_bad_subjects_and_payloads(self) -> None:
        """Wildcards, empty tokens and blanks to send to, and payloads above the limit, are refused."""
        bus = await self.make()
        for subject in ("im.*", "im.>", "", "im..a", "im.a b"):
            self.assertRaises(ValueError, bus.publish, subject, b"")
        for pattern in ("im.>.a", "im.a*", "", "im..a"):
            self.assertRaises(ValueError, bus.subscribe, pattern, Received())
        self.assertRaises(ValueError, bus.publish, "im.test.a", bytes(MAX_PAYLOAD_BYTES + 1))


class DurableBusCase(BusCase):
    """What the durable half needs besides; consumers survive in what ``make`` gives."""

    #: A little more than what lies between two tries.
    retry_delay_s: float
    #: How long an event in the hands of a process that died is kept from the next one.
    crash_delay_s: float = SOON_S

    async def crash(self, bus: Bus, *, away_s: float = 0.0) -> Bus:
        """As ``kill -9`` of the process, and another one on what is on disk so long after; started, no consumers
        yet."""
        raise NotImplementedError


class DurableBusContract(DurableBusCase):
    """Durable subjects: at least once, in order, across a crash."""

    @scenario
    async def test_durable_event_reaches_each_consumer(self) -> None:
        """Each named consumer gets each event once and in order, if nothing fails."""
        bus = await self.make()
        first, second = Received(), Received()
        bus.consume("im.test.a", "first", first)
        bus.consume("im.test.>", "second", second)
        for number in range(20):
            await bus.publish_durable("im.test.a", b"%d" % number)
        await bus.publish_durable("im.test.b", b"other")
        await self.pause(SOON_S)
        expected = [("im.test.a", b"%d" % number) for number in range(20)]
        self.assertEqual(first.messages, expected)
        self.assertEqual(second.messages, [*expected, ("im.test.b", b"other")])

    @scenario
    async def test_events_are_apart(self) -> None:
        """An event is handled on behalf of nobody, and with nothing that an earlier handler has set."""
        bus = await self.make()
        seen: list[tuple[TraceContext | None, str]] = []

        async def consumer(_: str, __: bytes) -> None:
            seen.append((carried(), _mark.get()))
            _mark.set("of a handler")

        with carrying(TraceContext(1, 2)):
            bus.consume("im.test.a", "consumer", consumer)
            await bus.publish_durable("im.test.a", b"1")
            await bus.publish_durable("im.test.a", b"2")
        await self.pause(SOON_S)
        self.assertEqual(seen, [(None, ""), (None, "")])

    @scenario
    async def test_event_waits_for_its_consumer(self) -> None:
        """What was published before a consumer was there comes when it comes."""
        bus = await self.make()
        await bus.publish_durable("im.test.a", b"early")
        received = Received()
        bus.consume("im.test.a", "late", received)
        await self.pause(SOON_S)
        self.assertEqual(received.payloads, [b"early"])

    @scenario
    async def test_unhandled_event_survives_a_crash(self) -> None:
        """An event in whose midst the consumer died comes again, and what was behind it, in order."""
        bus = await self.make()
        begun: list[bytes] = []

        async def dies_in_the_second(_: str, payload: bytes) -> None:
            begun.append(payload)
            if payload == b"2":
                await Deferred()

        bus.consume("im.test.a", "consumer", dies_in_the_second)
        for payload in (b"1", b"2", b"3"):
            await bus.publish_durable("im.test.a", payload)
        await self.pause(SOON_S)
        self.assertEqual(begun, [b"1", b"2"])
        bus = await self.crash(bus)
        received = Received()
        bus.consume("im.test.a", "consumer", received)
        await self.pause(self.crash_delay_s)
        self.assertEqual(received.payloads, [b"2", b"3"])

    @scenario
    async def test_handled_event_does_not_come_back(self) -> None:
        """After a restart a consumer gets only what it has not acknowledged."""
        bus = await self.make()
        bus.consume("im.test.a", "consumer", Received())
        await bus.publish_durable("im.test.a", b"1")
        await self.pause(SOON_S)
        bus = await self.crash(bus)
        received = Received()
        bus.consume("im.test.a", "consumer", received)
        await bus.publish_durable("im.test.a", b"2")
        await self.pause(SOON_S)
        self.assertEqual(received.payloads, [b"2"])

    @scenario
    async def test_newest_comes_at_every_start(self) -> None:
        """Of what only the newest event counts, a consumer begins with it each time it starts."""
        bus = await self.make()
        received = Received()
        bus.consume(ADMIN_CONFIG, "consumer", received)
        for payload in (b"1", b"2", b"3"):
            await bus.publish_durable(ADMIN_CONFIG, payload)
        await self.pause(SOON_S)
        self.assertEqual(received.payloads[-1], b"3")
        for _ in range(2):
            bus = await self.crash(bus)
            received = Received()
            bus.consume(ADMIN_CONFIG, "consumer", received)
            await self.pause(SOON_S)
            self.assertEqual(received.payloads, [b"3"])
        await bus.publish_durable(ADMIN_CONFIG, b"4")
        await self.pause(SOON_S)
        self.assertEqual(received.payloads, [b"3", b"4"])

    @scenario
    async def test_what_has_faded_is_left_out(self) -> None:
        """Of what concerns nobody after a while, whoever starts gets what is younger, whether there was somebody of
        the name before or not."""
        bus = await self.make()
        bus.consume(AUTH_INVALIDATE, "consumer", Received())
        await self.pause(SOON_S)
        bus = await self.crash(bus)
        await bus.publish_durable(AUTH_INVALIDATE, b"1")
        bus = await self.crash(bus, away_s=FADES_AFTER_S[AUTH_INVALIDATE] / 2)
        here, new = Received(), Received()
        bus.consume(AUTH_INVALIDATE, "new", new)
        await self.pause(SOON_S)
        bus = await self.crash(bus, away_s=FADES_AFTER_S[AUTH_INVALIDATE] + 10)
        bus.consume(AUTH_INVALIDATE, "consumer", here)
        await self.pause(SOON_S)
        await bus.publish_durable(AUTH_INVALIDATE, b"2")
        await self.pause(SOON_S)
        self.assertEqual((new.payloads, here.payloads), ([b"1"], [b"2"]))

    @scenario
    async def test_failed_event_is_tried_again(self) -> None:
        """An event whose handler raised comes again before those behind it."""
        bus = await self.make()
        seen: list[bytes] = []

        async def fails_twice(_: str, payload: bytes) -> None:
            seen.append(payload)
            if len(seen) <= 2:
                raise RuntimeError("planted")

        bus.consume("im.test.a", "consumer", fails_twice)
        await bus.publish_durable("im.test.a", b"1")
        await bus.publish_durable("im.test.a", b"2")
        await self.pause(SOON_S)
        self.assertEqual(seen, [b"1"])
        await self.pause(2 * self.retry_delay_s)
        self.assertEqual(seen, [b"1", b"1", b"1", b"2"])
        self.flushLoggedErrors(RuntimeError)

    @scenario
    async def test_hopeless_event_is_given_up(self) -> None:
        """After five tries the consumer goes on with the next event."""
        bus = await self.make()
        seen: list[bytes] = []

        async def chokes(_: str, payload: bytes) -> None:
            seen.append(payload)
            if payload == b"poison":
                raise RuntimeError("planted")

        bus.consume("im.test.a", "consumer", chokes)
        await bus.publish_durable("im.test.a", b"poison")
        await bus.publish_durable("im.test.a", b"good")
        await self.pause(6 * self.retry_delay_s)
        self.assertEqual(seen, [b"poison"] * 5 + [b"good"])
        self.flushLoggedErrors(RuntimeError)
