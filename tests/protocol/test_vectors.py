"""protocol/vectors against imd.wire, and against the codec of the standalone client."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.json_format import MessageToDict, ParseDict
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.errors import PayloadInvalid
from imd.pb.envelope_pb2 import Envelope
from imd.wire.codec import decode, decode_json, encode, encode_json
from imd.wire.framing import FrameDecoder, FrameError, frame
from tests.live.standalone_proto import Broken, Contract
from tests.protocol.vectors import load, octets

#: What the decoder says in each class of error.
_ERRORS = {
    "too_long": "over the limit",
    "overlong": "more bytes than needed",
    "header_too_long": "more than 5 bytes",
}


def _cuts(stream: bytes) -> Iterable[list[bytes]]:
    """The stream in one piece, in two at every place near its ends, and byte by byte if it is short."""
    yield [stream]
    for at in {*range(min(8, len(stream))), *range(max(0, len(stream) - 4), len(stream))}:
        yield [stream[:at], stream[at:]]
    if len(stream) < 1024:
        yield [stream[at : at + 1] for at in range(len(stream))]


class FramesTests(SynchronousTestCase):
    """frames.json against ``FrameDecoder``."""

    def test_good(self) -> None:
        """However a stream is cut, the same frames come out, and nothing is left unless the vector says so."""
        for vector in load("frames.json")["good"]:
            stream = octets(vector["stream"])
            wanted = [octets(body) for body in vector["frames"]]
            for pieces in _cuts(stream):
                decoder = FrameDecoder(limit_bytes=vector["limit"])
                got = [body for piece in pieces for body in decoder.feed(piece)]
                self.assertEqual(got, wanted, vector["name"])
                self.assertEqual(decoder.partial, vector.get("incomplete", False), vector["name"])

    def test_bad(self) -> None:
        """However a broken stream is cut, it is refused, for the named reason."""
        for vector in load("frames.json")["bad"]:
            for pieces in _cuts(octets(vector["stream"])):
                decoder = FrameDecoder(limit_bytes=vector["limit"])
                with self.assertRaises(FrameError, msg=vector["name"]) as caught:
                    for piece in pieces:
                        decoder.feed(piece)
                self.assertIn(_ERRORS[vector["error"]], str(caught.exception), vector["name"])

    def test_written_back(self) -> None:
        """Good frames, written one by one, give the stream again, less its empty frames."""
        for vector in load("frames.json")["good"]:
            if vector["frames"] and not vector.get("incomplete") and "empty" not in vector["name"]:
                written = b"".join(frame(octets(body)) for body in vector["frames"])
                self.assertEqual(written, octets(vector["stream"]), vector["name"])


class EnvelopesTests(SynchronousTestCase):
    """envelopes.json against ``imd.wire.codec``."""

    def test_good(self) -> None:
        """Bytes and JSON give each other, exactly, in both directions."""
        for vector in load("envelopes.json")["good"]:
            body, mapping = octets(vector["hex"]), vector["json"]
            envelope = decode(body)
            self.assertEqual(MessageToDict(envelope), mapping, vector["name"])
            self.assertEqual(decode_json(encode_json(envelope)), envelope, vector["name"])
            self.assertEqual(encode(ParseDict(mapping, Envelope())), frame(body), vector["name"])

    def test_decode_only(self) -> None:
        """What others may write in another way, or newer ones add, is understood as the vector says."""
        for vector in load("envelopes.json")["decode_only"]:
            self.assertEqual(MessageToDict(decode(octets(vector["hex"]))), vector["json"], vector["name"])

    def test_bad(self) -> None:
        """What is not an Envelope is refused as such."""
        for vector in load("envelopes.json")["bad"]:
            with self.assertRaises(PayloadInvalid, msg=vector["name"]):
                decode(octets(vector["hex"]))

    def test_json_in(self) -> None:
        """Every spelling that JSON allows is understood."""
        for vector in load("envelopes.json")["json_in"]:
            self.assertEqual(MessageToDict(decode_json(vector["text"])), vector["json"], vector["name"])

    def test_json_bad(self) -> None:
        """A text that is not a JSON Envelope is refused as such."""
        for vector in load("envelopes.json")["json_bad"]:
            with self.assertRaises(PayloadInvalid, msg=vector["name"]):
                decode_json(vector["text"])

    def test_every_payload(self) -> None:
        """No payload of the contract is without a vector."""
        seen = {name for vector in load("envelopes.json")["good"] for name in vector["json"]}
        payloads = {field.name for field in Envelope.DESCRIPTOR.oneofs_by_name["payload"].fields}
        self.assertEqual(payloads - seen, set())


class StandaloneCodecTests(SynchronousTestCase):
    """envelopes.json against the codec that was written from protocol/ alone."""

    def setUp(self) -> None:
        self.contract = Contract()

    def test_good(self) -> None:
        """A client without the protobuf library reads and writes the same bytes."""
        for vector in load("envelopes.json")["good"]:
            body, mapping = octets(vector["hex"]), vector["json"]
            self.assertEqual(self.contract.decode("Envelope", body), mapping, vector["name"])
            self.assertEqual(self.contract.encode("Envelope", mapping), body, vector["name"])

    def test_decode_only(self) -> None:
        """It skips what it does not know, as the vectors ask."""
        for vector in load("envelopes.json")["decode_only"]:
            got = self.contract.decode("Envelope", octets(vector["hex"]))
            self.assertEqual(got, vector["json"], vector["name"])

    def test_bad(self) -> None:
        """It refuses what is not an Envelope."""
        for vector in load("envelopes.json")["bad"]:
            with self.assertRaises(Broken, msg=vector["name"]):
                self.contract.decode("Envelope", octets(vector["hex"]))
