"""Length-prefixed frames: an unsigned varint of at most 5 bytes, then that many bytes.

Sans-I/O, linear in the number of bytes, however they are cut. A length is judged from the header
alone, before anything of the body is kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_EMPTY_FRAMES = re.compile(rb"\0*")
#: A 32-bit length fits into so many varint bytes; what goes on longer is an attack or noise.
MAX_HEADER_BYTES = 5


class FrameError(Exception):
    """The byte stream cannot be cut into frames; the connection is beyond repair.

    ``before`` holds the frames that were whole before the broken place: they count, however the
    bytes were cut into segments.
    """

    def __init__(self, message: str, before: Sequence[bytes] = ()) -> None:
        super().__init__(message)
        self.before = before


def encode_varint(value: int) -> bytes:
    """``value`` (0 or more) as an unsigned LEB128 varint."""
    if value < 0x80:
        return bytes((value,))
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def frame(body: bytes) -> bytes:
    """``body`` with its length in front."""
    return encode_varint(len(body)) + body


def _decode_length(data: bytes | bytearray, start: int) -> tuple[int, int] | None:
    """(length, index of the body) of the header at ``start``, or None if it is not complete."""
    length = 0
    end = len(data)
    for index in range(start, start + MAX_HEADER_BYTES):
        if index >= end:
            return None
        byte = data[index]
        length |= (byte & 0x7F) << 7 * (index - start)
        if byte < 0x80:
            if byte == 0 and index > start:
                raise FrameError("frame length is written with more bytes than needed")
            return length, index + 1
    raise FrameError(f"frame length has more than {MAX_HEADER_BYTES} bytes")


class FrameDecoder:
    """Cuts a byte stream into frame bodies. ``limit_bytes`` may be raised when the peer is trusted more."""

    __slots__ = ("_buffer", "_needed", "limit_bytes")

    def __init__(self, *, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._buffer: bytearray | None = None
        self._needed = 0

    @property
    def partial(self) -> bool:
        """Whether a frame has begun and is not complete."""
        return self._buffer is not None

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies that are complete now; empty frames are left out.

        :raises FrameError: the stream is broken, or a frame is longer than the limit.
        """
        buffer = self._buffer
        if buffer is not None:
            buffer += data
            if len(buffer) < self._needed:
                return []
            data = bytes(buffer)
            self._buffer = None
        frames: list[bytes] = []
        try:
            self._cut(data, frames)
        except FrameError as error:
            error.before = frames
            raise
        return frames

    def _cut(self, data: bytes, frames: list[bytes]) -> None:
        position = 0
        end = len(data)
        while position < end:
            first = data[position]
            if first < 0x80:
                length, body = first, position + 1
            else:
                header = _decode_length(data, position)
                if header is None:
                    self._keep(data, position, 0)
                    break
                length, body = header
            if length > self.limit_bytes:
                raise FrameError(f"frame of {length} bytes is over the limit of {self.limit_bytes}")
            position_after = body + length
            if position_after > end:
                self._keep(data, position, position_after - position)
                break
            if length:
                frames.append(data[body:position_after])
            else:
                # 64 KiB of them in a segment must not take as many turns of this loop.
                position_after = _EMPTY_FRAMES.match(data, body).end()  # type: ignore[union-attr]
            position = position_after

    def _keep(self, data: bytes, position: int, needed: int) -> None:
        self._buffer = bytearray(data[position:])
        self._needed = needed
