"""Length-prefixed frames."""

from __future__ import annotations

import time
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.wire.framing import MAX_HEADER_BYTES, FrameDecoder, FrameError, encode_varint, frame

LIMIT = 1000

GOOD: tuple[tuple[str, list[bytes]], ...] = (
    # bytes on the wire, bodies that come out
    ("", []),
    ("00", []),
    ("000000", []),
    ("0161", [b"a"]),
    ("01610162", [b"a", b"b"]),
    ("000161000162", [b"a", b"b"]),
    ("03616263", [b"abc"]),
    ("7f" + "61" * 127, [b"a" * 127]),
    ("8001" + "61" * 128, [b"a" * 128]),
    ("e807" + "61" * 1000, [b"a" * 1000]),
    ("0180" + "01" * 2, [b"\x80", b"\x01"]),
)
PARTIAL = ("80", "8080", "80808080", "0261", "03", "ff01" + "61", "e807", "016101")
BAD = (
    ("e907", "over the limit"),
    ("ffffffff07", "over the limit"),
    ("ffffffff0f", "over the limit"),
    ("ffffffff7f", "over the limit"),
    ("8000", "more bytes than needed"),
    ("8100", "more bytes than needed"),
    ("80808000", "more bytes than needed"),
    ("8080808000", "more bytes than needed"),
    ("ffffffffff", "more than 5 bytes"),
    ("808080808001", "more than 5 bytes"),
    ("ffffffffffffffffff01", "more than 5 bytes"),
    ("0161e907", "over the limit"),
)
BODIES = st.lists(st.binary(max_size=300), max_size=8)
CUTS = st.lists(st.integers(1, 40), max_size=200)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """``data`` in pieces of these sizes, and the rest."""
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


class Varints(SynchronousTestCase):
    """``encode_varint``."""

    def test_vectors(self) -> None:
        """The numbers around each further byte, as protobuf writes them."""
        for value, written in (
            (0, "00"),
            (1, "01"),
            (127, "7f"),
            (128, "8001"),
            (300, "ac02"),
            (16_383, "ff7f"),
            (16_384, "808001"),
            (2_097_151, "ffff7f"),
            (2_097_152, "80808001"),
            (2**32 - 1, "ffffffff0f"),
        ):
            self.assertEqual(encode_varint(value).hex(), written)

    @given(st.integers(0, 2**32 - 1))
    def test_shortest(self, value: int) -> None:
        """A number takes 7 bits a byte, never more than a header has, and reads back."""
        written = encode_varint(value)
        self.assertEqual(len(written), max(1, -(-value.bit_length() // 7)))
        self.assertLessEqual(len(written), MAX_HEADER_BYTES)
        self.assertEqual(sum((byte & 0x7F) << 7 * place for place, byte in enumerate(written)), value)


class Vectors(SynchronousTestCase):
    """``FrameDecoder.feed``, example by example."""

    def decoder(self) -> FrameDecoder:
        return FrameDecoder(limit_bytes=LIMIT)

    def test_good(self) -> None:
        """Complete frames come out at once; empty ones are left out."""
        for data, bodies in GOOD:
            decoder = self.decoder()
            self.assertEqual(decoder.feed(bytes.fromhex(data)), bodies, data[:20])
            self.assertFalse(decoder.partial, data[:20])

    def test_partial(self) -> None:
        """What is not complete is waited for, and is known to have begun."""
        for data in PARTIAL:
            decoder = self.decoder()
            decoder.feed(bytes.fromhex(data))
            self.assertTrue(decoder.partial, data)

    def test_bad(self) -> None:
        """A length that is wrong or too long is refused, whole or byte by byte."""
        for data, words in BAD:
            whole = bytes.fromhex(data)
            self.assertRegex(str(self.assertRaises(FrameError, self.decoder().feed, whole)), words)
            decoder = self.decoder()
            with self.assertRaisesRegex(FrameError, words):
                for byte in whole:
                    decoder.feed(bytes((byte,)))

    def test_refused_from_the_header_alone(self) -> None:
        """The byte that makes a length too long is the last one that is looked at."""
        for header in ("e907", "ffffffff0f"):
            decoder = self.decoder()
            *first, last = bytes.fromhex(header)
            for byte in first:
                self.assertEqual(decoder.feed(bytes((byte,))), [])
            self.assertRaises(FrameError, decoder.feed, bytes((last,)))

    def test_header_is_bounded(self) -> None:
        """A header that never ends is refused with its fifth byte, so no more is ever kept."""
        decoder = self.decoder()
        for _ in range(MAX_HEADER_BYTES - 1):
            decoder.feed(b"\xff")
        self.assertRaises(FrameError, decoder.feed, b"\xff")

    def test_limit_can_be_raised(self) -> None:
        """A peer that has proven who it is may send longer frames."""
        decoder = FrameDecoder(limit_bytes=2)
        self.assertEqual(decoder.feed(b"\x02ab"), [b"ab"])
        decoder.limit_bytes = 3
        self.assertEqual(decoder.feed(b"\x03abc"), [b"abc"])


class Properties(SynchronousTestCase):
    """``FrameDecoder.feed``, whatever comes."""

    @settings(max_examples=150)
    @given(BODIES, CUTS)
    def test_any_split(self, bodies: list[bytes], sizes: list[int]) -> None:
        """However the bytes are cut, the same bodies come out in the same order."""
        data = b"".join(frame(body) for body in bodies)
        decoder = FrameDecoder(limit_bytes=LIMIT)
        out = [body for piece in cut(data, sizes) for body in decoder.feed(piece)]
        self.assertEqual(out, [body for body in bodies if body])
        self.assertFalse(decoder.partial)

    @settings(max_examples=150)
    @given(st.binary(max_size=60), CUTS)
    def test_garbage(self, data: bytes, sizes: list[int]) -> None:
        """However garbage is cut, it gives the same bodies and is refused or not alike."""

        def outcome(pieces: list[bytes]) -> tuple[list[bytes], bool | str]:
            decoder, out = FrameDecoder(limit_bytes=50), []
            for piece in pieces:
                try:
                    out += decoder.feed(piece)
                except FrameError:
                    return out, "refused"
            return out, decoder.partial

        whole, end = outcome([bytes((byte,)) for byte in data])
        bodies, other_end = outcome(cut(data, sizes))
        self.assertEqual(other_end, end)
        # A refusal takes the frames of the same piece with it; what came out before is the same.
        self.assertEqual(bodies, whole[: len(bodies)] if end == "refused" else whole)


class Cost(SynchronousTestCase):
    """What a peer can make us spend."""

    def dribble(self, size: int) -> float:
        data = frame(bytes(size))
        decoder = FrameDecoder(limit_bytes=size)
        begun = time.thread_time()
        for index in range(len(data)):
            decoder.feed(data[index : index + 1])
        return time.thread_time() - begun

    def test_linear(self) -> None:
        """Sixty-four times the bytes, one by one, cost about that much more work, not its square."""
        small = min(self.dribble(4 * 1024) for _ in range(5))
        self.assertLess(min(self.dribble(256 * 1024) for _ in range(2)), 150 * small)

    def test_memory(self) -> None:
        """A promised length takes no memory before its bytes have come."""
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        decoders = [FrameDecoder(limit_bytes=10_000_000) for _ in range(100)]
        before, _ = tracemalloc.get_traced_memory()
        for decoder in decoders:
            decoder.feed(encode_varint(9_000_000))
        after, _ = tracemalloc.get_traced_memory()
        self.assertLess(after - before, 100 * 1024)
