"""The client's connection machine: what it says, what it hears, and how it ends."""

from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.errors import AuthFailed, RateLimited
from imd.pb.connection_pb2 import AUTH_FAILED, RATE_LIMITED, Connect, Connected
from imd.pb.envelope_pb2 import Envelope
from imd.wire.client import (
    CONNECTED_TIMEOUT_S,
    PONG_TIMEOUT_S,
    TRANSITIONS,
    ClientConnection,
    Do,
    Ended,
    Event,
    Frame,
    FramesLost,
    Input,
    Leave,
    Opened,
    Refusal,
    State,
    Why,
)
from imd.wire.codec import decode_json, encode, encode_json
from imd.wire.framing import FrameDecoder


def sent_by(machine: ClientConnection) -> list[Envelope]:
    """What the machine wants written, read back."""
    decoder = FrameDecoder(limit_bytes=1 << 20)
    envelopes: list[Envelope] = []
    for item in machine.take_outgoing():
        if isinstance(item, str):
            envelopes.append(decode_json(item))
        else:
            envelopes.extend(Envelope.FromString(body) for body in decoder.feed(item))
    return envelopes


def live(*, heartbeatIntervalS: int = 0, idleTimeoutS: int = 0) -> ClientConnection:
    """A machine that has said hello and was let in, at second 0."""
    machine = ClientConnection()
    machine.hello(Connect(token="t", deviceId="d"), 0.0)
    connected = Connected(userId=7, heartbeatIntervalS=heartbeatIntervalS, idleTimeoutS=idleTimeoutS)
    machine.feed(encode(Envelope(connected=connected)), 0.0)
    machine.take_outgoing()
    return machine


#: One way to make each input happen, and the event it gives on a live connection.
def _make(happened: Input, machine: ClientConnection) -> list[Event]:
    envelope = Envelope()
    if happened is Input.HELLO:
        machine.hello(Connect(), 0.0)
        return []
    if happened is Input.SILENT:
        return machine.tick(1e9)
    if happened is Input.LOST:
        return machine.lost("cut")
    if happened is Input.BROKEN:
        return machine.feed(b"\xff\xff\xff\xff\xff\xff", 0.0)
    if happened is Input.CONNECTED:
        envelope.connected.userId = 7
    elif happened is Input.HEARTBEAT:
        envelope.hb.sentAt = 1
    elif happened is Input.FRAME:
        envelope.hint.lastSeq = 1
    elif happened is Input.ERROR:
        envelope.error.code = RATE_LIMITED
    elif happened is Input.FINAL_ERROR:
        envelope.error.closing = True
    elif happened is Input.RECONNECT:
        envelope.reconnect.spreadMs = 5
    elif happened is Input.KICKED:
        envelope.kicked.reason = "same_device"
    return machine.feed(encode(envelope) if happened is not Input.UNKNOWN else b"\x03\x98\x06\x01", 0.0)


_EVENT_OF = {
    Do.NOTHING: None,
    Do.GREET: None,
    Do.OPEN: Opened,
    Do.COUNT: None,
    Do.PASS: Frame,
    Do.REFUSE: Refusal,
    Do.LEAVE: Leave,
    Do.END: Ended,
}


class TableTests(SynchronousTestCase):
    """The table is complete, and the machine obeys it."""

    def test_complete(self) -> None:
        """Every state knows every input."""
        self.assertEqual(set(TRANSITIONS), {(state, happened) for state in State for happened in Input})

    def test_every_pair(self) -> None:
        """In every state every input leads where the table says, with the event it says."""
        for (state, happened), (after, do) in TRANSITIONS.items():
            machine = ClientConnection()
            machine.state = state
            events = _make(happened, machine)
            self.assertIs(machine.state, after, (state, happened))
            expected = _EVENT_OF[do]
            self.assertEqual(
                [type(event) for event in events], [expected] if expected else [], (state, happened)
            )

    def test_closed_is_final(self) -> None:
        """Nothing leads out of CLOSED, and nothing is said there."""
        for happened in Input:
            self.assertEqual(TRANSITIONS[State.CLOSED, happened], (State.CLOSED, Do.NOTHING))


class GreetingTests(SynchronousTestCase):
    """From the first byte to LIVE."""

    def test_connect_first(self) -> None:
        """The first frame is Connect, once, however often hello is called."""
        machine = ClientConnection()
        machine.hello(Connect(token="secret"), 0.0)
        machine.hello(Connect(token="again"), 0.0)
        self.assertEqual([envelope.connect.token for envelope in sent_by(machine)], ["secret"])

    def test_nothing_before_live(self) -> None:
        """What is told before the login is over is not put on the wire."""
        machine = ClientConnection()
        machine.hello(Connect(), 0.0)
        machine.take_outgoing()
        machine.tell(Envelope())
        self.assertEqual(machine.take_outgoing(), [])

    def test_opened(self) -> None:
        """Connected makes it live and tells what the server said."""
        machine = ClientConnection()
        machine.hello(Connect(), 0.0)
        [event] = machine.feed(encode(Envelope(connected=Connected(userId=7))), 0.1)
        assert isinstance(event, Opened)
        self.assertEqual((event.connected.userId, machine.state), (7, State.LIVE))

    def test_refused(self) -> None:
        """An Error instead of Connected ends it with the server's own reason, closing or not."""
        machine = ClientConnection()
        machine.hello(Connect(), 0.0)
        refusal = Envelope()
        refusal.error.code = AUTH_FAILED
        refusal.error.message = "expired"
        [event] = machine.feed(encode(refusal), 0.1)
        assert isinstance(event, Ended)
        self.assertIs(event.why, Why.REFUSED)
        self.assertIsInstance(event.error, AuthFailed)

    def test_no_answer(self) -> None:
        """A server that never answers Connect is given up."""
        machine = ClientConnection()
        machine.hello(Connect(), 5.0)
        self.assertEqual(machine.next_tick_s, 5.0 + CONNECTED_TIMEOUT_S)
        self.assertEqual(machine.tick(4.9 + CONNECTED_TIMEOUT_S), [])
        [event] = machine.tick(5.0 + CONNECTED_TIMEOUT_S)
        assert isinstance(event, Ended)
        self.assertIs(event.why, Why.SILENT)

    def test_json(self) -> None:
        """With JSON both directions are one Envelope a text."""
        machine = ClientConnection(json=True)
        machine.hello(Connect(token="t"), 0.0)
        [text] = machine.take_outgoing()
        assert isinstance(text, str)
        self.assertEqual(decode_json(text).connect.token, "t")
        [event] = machine.feed(encode_json(Envelope(connected=Connected(userId=9))), 0.0)
        self.assertIsInstance(event, Opened)


class HeartTests(SynchronousTestCase):
    """Heartbeats, silence and lost frames."""

    def test_interval(self) -> None:
        """A heartbeat goes out every interval that the server asked for."""
        machine = live(heartbeatIntervalS=10, idleTimeoutS=90)
        self.assertEqual(machine.next_tick_s, 10.0)
        machine.tick(9.9)
        self.assertEqual(sent_by(machine), [])
        machine.tick(10.0)
        self.assertEqual([envelope.hb.sentAt for envelope in sent_by(machine)], [10_000])
        self.assertEqual(machine.next_tick_s, 20.0)

    def test_due_is_due(self) -> None:
        """At the time it asked to be ticked the machine acts, however that time is rounded."""
        for tenths in range(1, 400):
            machine = ClientConnection()
            machine.hello(Connect(token="t", deviceId="d"), tenths / 10)
            [ended] = machine.tick(machine.next_tick_s)
            assert isinstance(ended, Ended)
            self.assertIs(ended.why, Why.SILENT)

    def test_silence(self) -> None:
        """A heartbeat that stays unanswered ends the connection; any byte counts as an answer."""
        machine = live(heartbeatIntervalS=10, idleTimeoutS=90)
        machine.feed(encode(Envelope()), 4.0)
        self.assertEqual(machine.tick(13.9 + PONG_TIMEOUT_S), [])
        [event] = machine.tick(14.0 + PONG_TIMEOUT_S)
        assert isinstance(event, Ended)
        self.assertIs(event.why, Why.SILENT)

    def test_frames_lost(self) -> None:
        """Fewer Deliver and Hint frames than the server counted are told once for each loss."""
        machine = live()
        frame = encode(_deliver()) + encode(_hint())
        self.assertEqual(machine.feed(frame + encode(_pong(2)), 1.0)[2:], [])
        self.assertEqual(machine.feed(encode(_pong(5)), 2.0), [FramesLost(3)])
        self.assertEqual(machine.feed(encode(_pong(5)), 3.0), [])
        self.assertEqual(machine.feed(encode(_pong(6)), 4.0), [FramesLost(4)])

    def test_late_is_not_lost(self) -> None:
        """A frame that a pong overtook is taken off the loss when it comes."""
        machine = live()
        self.assertEqual(machine.feed(encode(_pong(1)), 1.0), [FramesLost(1)])
        machine.feed(encode(_deliver()) + encode(_pong(1)), 2.0)
        self.assertEqual(machine.feed(encode(_pong(2)), 3.0), [FramesLost(1)])


class RequestTests(SynchronousTestCase):
    """Requests, answers and refusals."""

    def test_ids(self) -> None:
        """Each request has an id of its own, and its answer carries it back."""
        machine = live()
        first, second = machine.ask(Envelope()), machine.ask(Envelope())
        self.assertNotEqual(first, second)
        self.assertEqual([e.header.requestId for e in sent_by(machine)], [first, second])
        answer = Envelope()
        answer.historyResp.lastSeq = 3
        answer.header.requestId = second
        [event] = machine.feed(encode(answer), 0.0)
        assert isinstance(event, Frame)
        self.assertEqual((event.payload, event.request_id), ("historyResp", second))

    def test_refusal(self) -> None:
        """An Error names its request, its code and when to try again; the connection lives."""
        machine = live()
        refusal = Envelope()
        refusal.header.requestId = 4
        refusal.error.code = RATE_LIMITED
        refusal.error.retryAfterMs = 250
        [event] = machine.feed(encode(refusal), 0.0)
        assert isinstance(event, Refusal)
        self.assertIsInstance(event.error, RateLimited)
        self.assertEqual((event.request_id, event.error.retry_after_ms), (4, 250))
        self.assertIs(machine.state, State.LIVE)

    def test_cut_anyhow(self) -> None:
        """Bytes may be cut anywhere."""
        machine = live()
        events: list[Event] = []
        for byte in encode(_deliver()):
            events += machine.feed(bytes((byte,)), 0.0)
        self.assertEqual(len(events), 1)

    def test_events_before_the_end(self) -> None:
        """What came before a Kicked in the same bytes is still told, what comes after is not."""
        machine = live()
        kicked = Envelope()
        kicked.kicked.reason = "same_device"
        events = machine.feed(encode(_deliver()) + encode(kicked) + encode(_deliver()), 0.0)
        self.assertEqual([type(event) for event in events], [Frame, Ended])

    def test_drain(self) -> None:
        """Reconnect tells how to leave, and requests still work until then."""
        machine = live()
        leaving = Envelope()
        leaving.reconnect.spreadMs = 500
        leaving.reconnect.deadlineMs = 9000
        self.assertEqual(machine.feed(encode(leaving), 0.0), [Leave("", 500, 9000)])
        machine.ask(Envelope())
        self.assertEqual(len(machine.take_outgoing()), 1)


def _deliver() -> Envelope:
    envelope = Envelope()
    envelope.deliver.message.seq = 1
    return envelope


def _hint() -> Envelope:
    envelope = Envelope()
    envelope.hint.lastSeq = 1
    return envelope


def _pong(count: int) -> Envelope:
    envelope = Envelope()
    envelope.hb.deliveredCount = count
    return envelope
