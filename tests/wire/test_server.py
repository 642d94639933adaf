"""The server's connection machine: what may come when, how much, and what closes it."""

from __future__ import annotations

from google.protobuf import json_format
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.errors import AuthFailed, PayloadInvalid
from imd.pb.connection_pb2 import Connect, Connected, Heartbeat, RefreshToken
from imd.pb.delivery_pb2 import Deliver, Receipt
from imd.pb.envelope_pb2 import Envelope, Header
from imd.pb.message_pb2 import SendMessageReq
from imd.wire.codec import encode, encode_json
from imd.wire.framing import encode_varint, frame
from imd.wire.server import (
    BAD_REQUEST_WINDOW_S,
    MAX_BAD_REQUESTS,
    REQUESTS,
    TRANSITIONS,
    UNAUTHENTICATED_FRAME_BYTES,
    Do,
    Input,
    Received,
    ServerConnection,
    State,
)

LIMIT_BYTES = 260 * 1024
CONNECT = Envelope(connect=Connect(token="t", deviceId="d"))
BEAT = Envelope(hb=Heartbeat(sentAt=1))
REQUEST = Envelope(read=Receipt(conversationId="c", readSeq=1))
FOREIGN = Envelope(deliver=Deliver())
UNKNOWN = Envelope(header=Header(requestId=1))

#: How each state is reached.
_WAY = {
    State.AWAIT_CONNECT: (),
    State.AUTHENTICATING: (Input.CONNECT,),
    State.LIVE: (Input.CONNECT, Input.ACCEPTED),
    State.DRAINING: (Input.CONNECT, Input.ACCEPTED, Input.DRAIN),
    State.CLOSED: (Input.LOST,),
}
_SAID = {
    Input.CONNECT: encode(CONNECT),
    Input.HEARTBEAT: encode(BEAT),
    Input.REQUEST: encode(REQUEST),
    Input.NOT_FOR_SERVER: encode(FOREIGN),
    Input.BROKEN: frame(b"\xff\xff"),
}


def machine_in(state: State) -> ServerConnection:
    machine = ServerConnection(limit_bytes=LIMIT_BYTES)
    for happened in _WAY[state]:
        machine.step(happened)
    assert machine.state is state
    return machine


def take(machine: ServerConnection, *envelopes: Envelope, now_s: float = 0.0) -> list[Received]:
    for envelope in envelopes:
        machine.feed_stream(encode(envelope))
    return list(machine.take(1000, now_s))


class TransitionsTests(SynchronousTestCase):
    """The table itself, and the machine against the table."""

    def test_complete(self) -> None:
        """There is an entry for every input in every state, and none else."""
        self.assertEqual(set(TRANSITIONS), {(state, each) for state in State for each in Input})

    def test_closed_is_final(self) -> None:
        """Nothing that happens to a closed connection does anything."""
        self.assertEqual({TRANSITIONS[State.CLOSED, each] for each in Input}, {(State.CLOSED, Do.NOTHING)})

    def test_served_only_when_live(self) -> None:
        """Requests are served in LIVE and DRAINING, and nowhere else."""
        serving = {state for (state, _), (_, do) in TRANSITIONS.items() if do is Do.SERVE}
        self.assertEqual(serving, {State.LIVE, State.DRAINING})

    def test_live_only_by_acceptance(self) -> None:
        """The only way to LIVE is being accepted while authenticating."""
        ways = {
            pair for pair, (after, _) in TRANSITIONS.items() if after is State.LIVE and pair[0] is not after
        }
        self.assertEqual(ways, {(State.AUTHENTICATING, Input.ACCEPTED)})

    def test_close_closes(self) -> None:
        """Every CLOSE leads to CLOSED, and only CLOSE and LOST lead there."""
        for (state, happened), (after, do) in TRANSITIONS.items():
            if state is not State.CLOSED and happened is not Input.LOST:
                self.assertEqual(do is Do.CLOSE, after is State.CLOSED, (state, happened))

    def test_machine_follows_the_table(self) -> None:
        """Each input, as bytes or as a step, has the table's effect in each state."""
        for (state, happened), (after, do) in TRANSITIONS.items():
            machine = machine_in(state)
            if happened in _SAID:
                machine.feed_stream(_SAID[happened])
                done = [received.do for received in machine.take(10, 0.0)]
                expected = [] if state is State.CLOSED else [do]
            else:
                done, expected = [machine.step(happened)], [do]
            self.assertEqual((machine.state, done), (after, expected), (state, happened))

    def test_every_payload_is_placed(self) -> None:
        """Each payload of the contract is a request, Connect, Heartbeat, or refused."""
        for name in Envelope.DESCRIPTOR.oneofs_by_name["payload"].fields:
            envelope = Envelope()
            getattr(envelope, name.name).SetInParent()
            (received,) = take(machine_in(State.LIVE), envelope)
            expected = Do.SERVE if name.name in REQUESTS else Do.PONG if name.name == "hb" else Do.REFUSE
            self.assertIs(received.do, expected, name.name)


class FeedingTests(SynchronousTestCase):
    """Bytes and texts in, judgements out."""

    def test_one_frame(self) -> None:
        """A request comes with its name, its Envelope and its size."""
        (received,) = take(machine_in(State.LIVE), REQUEST)
        self.assertEqual((received.payload, received.envelope), ("read", REQUEST))
        self.assertEqual(received.size_bytes, REQUEST.ByteSize())

    def test_dribble(self) -> None:
        """Bytes one by one give the same as all at once; partial says whether a frame is under way."""
        machine = machine_in(State.LIVE)
        data = encode(REQUEST) + encode(BEAT)
        partial = []
        for position in range(len(data)):
            machine.feed_stream(data[position : position + 1])
            partial.append(machine.partial)
        self.assertEqual([received.do for received in machine.take(9, 0.0)], [Do.SERVE, Do.PONG])
        self.assertEqual(
            [at for at, under_way in enumerate(partial, 1) if not under_way],
            [len(encode(REQUEST)), len(data)],
        )

    def test_take_limit(self) -> None:
        """take gives at most so many, in order, and backlog says that there is more."""
        machine = machine_in(State.LIVE)
        for sent_at in range(5):
            machine.feed_stream(encode(Envelope(hb=Heartbeat(sentAt=sent_at))))
        sizes = []
        seen: list[int] = []
        while machine.backlog:
            some = [received.envelope for received in machine.take(2, 0.0)]
            sizes.append(len(some))
            seen += [envelope.hb.sentAt for envelope in some if envelope is not None]
        self.assertEqual((sizes, seen), ([2, 2, 1], [0, 1, 2, 3, 4]))

    def test_judged_when_it_is_its_turn(self) -> None:
        """What is done about one frame holds for the next in the same segment."""
        machine = machine_in(State.LIVE)
        machine.feed_stream(encode(REQUEST) * 3)
        judged = []
        for received in machine.take(10, 0.0):
            judged.append(received.do)
            machine.step(Input.REFUSED)
        self.assertEqual((judged, machine.backlog), ([Do.SERVE], False))

    def test_nothing_behind_a_broken_frame(self) -> None:
        """Frames before a broken one count, those behind it do not."""
        machine = machine_in(State.LIVE)
        machine.feed_stream(encode(REQUEST) + frame(b"\xff\xff") + encode(REQUEST))
        self.assertEqual([received.do for received in machine.take(10, 0.0)], [Do.SERVE, Do.CLOSE])
        self.assertEqual(machine.state, State.CLOSED)

    def test_message_of_several_frames(self) -> None:
        """A binary message may hold several frames, but only whole ones."""
        machine = machine_in(State.LIVE)
        machine.feed_message(encode(BEAT) * 3)
        machine.feed_message(encode(BEAT)[:-1])
        self.assertEqual([received.do for received in machine.take(10, 0.0)], [Do.PONG] * 3 + [Do.CLOSE])

    def test_json(self) -> None:
        """A text message is one Envelope; what is none closes."""
        for text, do in (
            (encode_json(REQUEST), Do.SERVE),
            ("[]", Do.CLOSE),
            ("{", Do.CLOSE),
            ('{"x":1}', Do.REFUSE),
        ):
            machine = machine_in(State.LIVE)
            machine.feed_text(text)
            self.assertEqual([received.do for received in machine.take(10, 0.0)], [do], text)

    def test_json_size(self) -> None:
        """What a request weighs is counted in bytes of the Envelope, not in characters of its text."""
        request = Envelope(send=SendMessageReq(textContent="\u4e2d" * 100))
        machine = machine_in(State.LIVE)
        machine.feed_text(json_format.MessageToJson(request, indent=None, ensure_ascii=False))
        (received,) = machine.take(1, 0.0)
        self.assertEqual(received.size_bytes, request.ByteSize())
        self.assertGreater(received.size_bytes, 300)

    def test_size_before_login(self) -> None:
        """A stranger's frame is judged by its header: 4 KiB at most."""
        for length, do in ((UNAUTHENTICATED_FRAME_BYTES, []), (UNAUTHENTICATED_FRAME_BYTES + 1, [Do.CLOSE])):
            machine = machine_in(State.AWAIT_CONNECT)
            machine.feed_stream(encode_varint(length))
            self.assertEqual([received.do for received in machine.take(10, 0.0)], do)

    def test_size_after_login(self) -> None:
        """Being accepted raises the limit to the Envelope's, and not further."""
        for length, do in ((LIMIT_BYTES, []), (LIMIT_BYTES + 1, [Do.CLOSE])):
            machine = machine_in(State.LIVE)
            machine.feed_stream(encode_varint(length))
            self.assertEqual([received.do for received in machine.take(10, 0.0)], do)

    def test_text_size(self) -> None:
        """JSON is longer than protobuf and may be so, twice; before login and after."""
        for state, limit in ((State.AWAIT_CONNECT, UNAUTHENTICATED_FRAME_BYTES), (State.LIVE, LIMIT_BYTES)):
            for length, too_long in ((2 * limit, False), (2 * limit + 1, True)):
                machine = machine_in(state)
                machine.feed_text('{"hb":{}}'.ljust(length))
                (received,) = machine.take(10, 0.0)
                self.assertEqual(received.do is Do.CLOSE, too_long, (state, length))


class RefusalTests(SynchronousTestCase):
    """Errors and what they are called."""

    def test_first_frame(self) -> None:
        """Anything but Connect and Heartbeat first is AUTH_FAILED; a second Connect is PAYLOAD_INVALID."""
        (received,) = take(machine_in(State.AWAIT_CONNECT), REQUEST)
        self.assertIsInstance(received.error, AuthFailed)
        (received,) = take(machine_in(State.AUTHENTICATING), CONNECT)
        self.assertIsInstance(received.error, PayloadInvalid)

    def test_what_is_not_for_servers(self) -> None:
        """No payload, a server's payload and a second Connect are refused by name; the connection lives."""
        machine = machine_in(State.LIVE)
        received = take(machine, UNKNOWN, FOREIGN, CONNECT, Envelope(connected=Connected()))
        self.assertEqual({each.do for each in received}, {Do.REFUSE})
        fields = [each.error.field for each in received if each.error is not None]
        self.assertEqual(fields, ["payload", "deliver", "connect", "connected"])
        self.assertIs(machine.state, State.LIVE)

    def test_bad_requests_add_up(self) -> None:
        """The tenth bad request within a minute closes."""
        machine = machine_in(State.LIVE)
        done = [received.do for received in take(machine, *[FOREIGN] * (MAX_BAD_REQUESTS + 3))]
        self.assertEqual(done, [Do.REFUSE] * (MAX_BAD_REQUESTS - 1) + [Do.CLOSE])
        self.assertIs(machine.state, State.CLOSED)

    def test_bad_requests_are_forgotten(self) -> None:
        """Nine a minute go on for ever."""
        machine = machine_in(State.LIVE)
        for minute in range(5):
            now_s = minute * (BAD_REQUEST_WINDOW_S + 1)
            received = take(machine, *[FOREIGN] * (MAX_BAD_REQUESTS - 1), now_s=now_s)
            self.assertEqual({each.do for each in received}, {Do.REFUSE})

    def test_good_requests_do_not_count(self) -> None:
        """Good requests in between change nothing about the bad."""
        machine = machine_in(State.LIVE)
        good = Envelope(refreshToken=RefreshToken(token="t"))
        done = [received.do for received in take(machine, *[FOREIGN, good] * MAX_BAD_REQUESTS)]
        self.assertEqual(done.count(Do.SERVE), MAX_BAD_REQUESTS - 1)
        self.assertIs(done[-1], Do.CLOSE)
