"""Envelopes to bytes and back."""

from __future__ import annotations

import json

from google.protobuf.internal import api_implementation
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.errors import PayloadInvalid, StartupError
from imd.pb.envelope_pb2 import Envelope, Header
from imd.pb.message_pb2 import STORED, TEXT, Message, SendMessageReq
from imd.wire import codec
from imd.wire.framing import FrameDecoder, FrameError, encode_varint, frame

INT64 = st.integers(-(2**63), 2**63 - 1)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    return Message(
        conversationId=draw(st.text(max_size=64)),
        seq=draw(INT64),
        serverMsgId=draw(INT64),
        clientMsgId=draw(st.text(max_size=64)),
        senderId=draw(INT64),
        type=TEXT,
        textContent=draw(st.text(max_size=300)),
        meta=draw(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4)),
        serverTime=draw(INT64),
        status=STORED,
    )


@st.composite
def envelopes(draw: st.DrawFn) -> Envelope:
    return Envelope(
        header=Header(requestId=draw(INT64), traceId=draw(st.text(max_size=32))),
        send=SendMessageReq(
            conversationId=draw(st.text(max_size=64)),
            clientMsgId=draw(st.text(max_size=64)),
            type=TEXT,
            textContent=draw(st.text(max_size=300)),
            peerUserId=draw(INT64),
        ),
    )


def body_of(data: bytes) -> bytes:
    """The one body in a frame."""
    (body,) = FrameDecoder(limit_bytes=1 << 24).feed(data)
    return body


def nested(depth: int) -> bytes:
    """An Envelope whose unknown field 200 holds groups within groups."""
    start, end = (encode_varint(200 << 3 | wire_type) for wire_type in (3, 4))
    return start * depth + end * depth


class Protobuf(SynchronousTestCase):
    """``encode`` and ``decode``."""

    @given(envelopes())
    def test_round_trip(self, envelope: Envelope) -> None:
        """What is written is read."""
        self.assertEqual(codec.decode(body_of(codec.encode(envelope))), envelope)

    @given(st.binary(max_size=200))
    def test_garbage(self, body: bytes) -> None:
        """Bytes are an Envelope or PayloadInvalid, and never anything else."""
        try:
            codec.decode(body)
        except PayloadInvalid as error:
            self.assertNotIn("\n", error.message)

    def test_truncated(self) -> None:
        """A body that ends in the middle is refused."""
        body = Envelope(send=SendMessageReq(textContent="hello")).SerializeToString()
        for length in range(1, len(body)):
            self.assertRaises(PayloadInvalid, codec.decode, body[:length])

    def test_invalid_utf8(self) -> None:
        """Text that is not UTF-8 is refused: overlong, a lone surrogate, cut, or no text at all."""
        for raw in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xe4\xb8", b"\xf5\x80\x80\x80"):
            text = (
                SendMessageReq(textContent="?" * len(raw)).SerializeToString().replace(b"?" * len(raw), raw)
            )
            body = b"\x52" + encode_varint(len(text)) + text
            self.assertRaises(PayloadInvalid, codec.decode, body)

    def test_any_text(self) -> None:
        """NUL, right-to-left marks, joiners and four-byte letters are text, and stay as they are."""
        for text in ("\0", "\u202eabc", "a\u200db", "\U0001f468\u200d\U0001f469", "消息", "e\u0301"):
            envelope = Envelope(send=SendMessageReq(textContent=text))
            self.assertEqual(codec.decode(body_of(codec.encode(envelope))).send.textContent, text)

    def test_nesting(self) -> None:
        """What is nested too deeply is refused before it costs a stack."""
        codec.decode(nested(50))
        for depth in (101, 10_000):
            self.assertRaises(PayloadInvalid, codec.decode, nested(depth))

    def test_bad_tags(self) -> None:
        """Field number 0, a wire type that does not exist, and endless varints are refused."""
        for body in (b"\x00\x01", b"\x0f", b"\x0e", b"\xff" * 11, b"\x0a\xff\xff\xff\xff\x0f"):
            self.assertRaises(PayloadInvalid, codec.decode, body)

    def test_other_protocols(self) -> None:
        """What strangers send to a port is refused by its length, or is no Envelope."""
        for noise in (
            b"GET / HTTP/1.1\r\nHost: chat.example.com\r\nUser-Agent: a browser of some kind\r\n\r\n",
            bytes.fromhex("1603010200010001fc0303") + bytes(range(256)),
            b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n" + bytes(range(20, 200)),
            b"\xff" * 64,
        ):
            try:
                first = FrameDecoder(limit_bytes=4096).feed(noise)[0]
            except FrameError:
                continue
            self.assertRaises(PayloadInvalid, codec.decode, first)

    def test_empty_and_unknown(self) -> None:
        """No payload, or one of a newer client, is an Envelope without payload; its sender may be told."""
        newer = b"\xa2\x06\x01a" + Envelope(header=Header(requestId=7)).SerializeToString()
        for body, request_id in ((b"", 0), (newer, 7)):
            envelope = codec.decode(body)
            self.assertIsNone(envelope.WhichOneof("payload"))
            self.assertEqual(envelope.header.requestId, request_id)


class Deliveries(SynchronousTestCase):
    """``deliver_frame``, which puts a frame around bytes that are there already."""

    @settings(max_examples=40)
    @given(messages())
    def test_equals_the_built_one(self, message: Message) -> None:
        """It is, byte for byte, the frame of an Envelope that was built."""
        built = Envelope()
        built.deliver.message.CopyFrom(message)
        self.assertEqual(
            codec.deliver_frame(message.SerializeToString(deterministic=True)),
            frame(built.SerializeToString(deterministic=True)),
        )

    def test_lengths(self) -> None:
        """Also where one of its three lengths takes a byte more."""
        sizes = {edge + near for edge in (0, 128, 16_384, 2_097_152) for near in range(-12, 3)}
        for size in sorted(size for size in sizes if size >= 0):
            message = Message(binaryContent=bytes(size)).SerializeToString()
            built = Envelope()
            built.deliver.message.ParseFromString(message)
            self.assertEqual(codec.deliver_frame(message), codec.encode(built), size)


class Json(SynchronousTestCase):
    """``encode_json`` and ``decode_json``."""

    @given(envelopes())
    def test_round_trip(self, envelope: Envelope) -> None:
        """What is written is read, in one line."""
        text = codec.encode_json(envelope)
        self.assertNotIn("\n", text)
        self.assertEqual(codec.decode_json(text), envelope)

    def test_long_numbers_are_strings(self) -> None:
        """JavaScript would round 2**53 + 1; it comes and goes as text, and is read as a number too."""
        text = codec.encode_json(Envelope(header=Header(requestId=2**53 + 1)))
        self.assertEqual(json.loads(text), {"header": {"requestId": "9007199254740993"}})
        for written in ('"9007199254740993"', "9007199254740993"):
            envelope = codec.decode_json(f'{{"header": {{"requestId": {written}}}}}')
            self.assertEqual(envelope.header.requestId, 2**53 + 1)

    def test_refused(self) -> None:
        """Whatever is not a JSON Envelope is PayloadInvalid with a short reason."""
        for text in (
            "",
            "{",
            "[]",
            "null",
            "7",
            '"text"',
            "{} {}",
            '{"send": 7}',
            '{"send": {"textContent": 7}}',
            '{"send": {"type": "NO_SUCH_TYPE", "textContent": []}}',
            '{"header": {"requestId": "x"}}',
            '{"header": {"requestId": 1e30}}',
            '{"header": {"requestId": NaN}}',
            '{"send": {}, "ack": {}}',
            '{"send": {"textContent": "\\ud800"}}',
            '{"a": ' * 5000,
            "[" * 100_000,
        ):
            with self.assertRaises(PayloadInvalid, msg=text[:40]) as caught:
                codec.decode_json(text)
            error = caught.exception
            self.assertLess(len(error.message), 300, text[:40])

    def test_unknown_fields(self) -> None:
        """A newer client's fields are ignored, as in protobuf."""
        envelope = codec.decode_json('{"newer": {"x": 1}, "hb": {"newer": []}}')
        self.assertEqual(envelope.WhichOneof("payload"), "hb")

    @given(st.text(max_size=100))
    def test_garbage(self, text: str) -> None:
        """Any text is an Envelope or PayloadInvalid, and never anything else."""
        try:
            codec.decode_json(text)
        except PayloadInvalid:
            pass


class Runtime(SynchronousTestCase):
    """``require_fast_protobuf``."""

    def test_here(self) -> None:
        """The installed protobuf is good enough."""
        codec.require_fast_protobuf()

    def test_pure_python(self) -> None:
        """With the pure-Python protobuf the server does not start, and says what to do."""
        self.patch(api_implementation, "Type", lambda: "python")
        error = self.assertRaises(StartupError, codec.require_fast_protobuf)
        self.assertIn("reinstall", str(error))
