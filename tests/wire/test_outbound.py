"""Frames on their way out."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.errors import RateLimited
from imd.pb.connection_pb2 import RATE_LIMITED, Heartbeat
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import Message
from imd.pb.sync_pb2 import HistoryResp
from imd.wire.framing import FrameDecoder
from imd.wire.outbound import Priority, control, deliver, joined, refusal, with_raw_payload


def read(frames: bytes) -> list[Envelope]:
    return [Envelope.FromString(body) for body in FrameDecoder(limit_bytes=1 << 22).feed(frames)]


class OutboundTests(SynchronousTestCase):
    """Each kind is what it says, in both encodings."""

    def test_control(self) -> None:
        """A control frame goes first and is not counted."""
        outbound = control(Envelope(hb=Heartbeat(sentAt=5)))
        self.assertEqual(read(outbound.frames), [Envelope(hb=Heartbeat(sentAt=5))])
        self.assertEqual((outbound.priority, outbound.counted), (Priority.CONTROL, 0))

    def test_deliver(self) -> None:
        """A stored message travels as the very bytes that were stored, at any length."""
        for length in (0, 1, 100, 127, 128, 16_383, 70_000):
            message = Message(seq=3, textContent="x" * length)
            outbound = deliver(message.SerializeToString(), Priority.NORMAL)
            (envelope,) = read(outbound.frames)
            self.assertEqual(envelope.deliver.message, message)
            self.assertEqual(outbound.counted, 1)

    def test_joined(self) -> None:
        """Several in one keep their order and are counted each."""
        parts = [deliver(Message(seq=seq).SerializeToString(), Priority.BULK) for seq in (1, 2, 3)]
        outbound = joined(parts, Priority.BULK)
        self.assertEqual([each.deliver.message.seq for each in read(outbound.frames)], [1, 2, 3])
        self.assertEqual((outbound.counted, outbound.priority), (3, Priority.BULK))

    def test_texts(self) -> None:
        """JSON is made once, one text a frame, with 64-bit numbers as strings."""
        parts = [deliver(Message(seq=2**53 + seq).SerializeToString(), Priority.NORMAL) for seq in (1, 2)]
        outbound = joined(parts, Priority.NORMAL)
        seqs = [json.loads(text)["deliver"]["message"]["seq"] for text in outbound.texts]
        self.assertEqual(seqs, [str(2**53 + 1), str(2**53 + 2)])
        self.assertIs(outbound.texts, outbound.texts)

    def test_refusal(self) -> None:
        """An error carries its code, its advice and the request's id."""
        (envelope,) = read(refusal(RateLimited("slow down", retry_after_ms=70), request_id=9).frames)
        error = envelope.error
        self.assertEqual((error.code, error.retryable, error.retryAfterMs), (RATE_LIMITED, True, 70))
        self.assertEqual((envelope.header.requestId, error.closing), (9, False))
        (envelope,) = read(refusal(RateLimited("x")).frames)
        self.assertFalse(envelope.HasField("header"))

    def test_raw_payload(self) -> None:
        """Serialised bytes become the payload of an answer, not a copy of it, empty ones too."""
        for response in (HistoryResp(), HistoryResp(conversationId="c", messages=[Message(seq=1)] * 200)):
            outbound = with_raw_payload(12, Envelope.HISTORYRESP_FIELD_NUMBER, response.SerializeToString())
            (envelope,) = read(outbound.frames)
            self.assertEqual((envelope.header.requestId, envelope.historyResp), (12, response))
            self.assertEqual(envelope.WhichOneof("payload"), "historyResp")
