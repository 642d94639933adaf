"""Frames on their way out: encoded once, shared by every receiver."""

from __future__ import annotations

from enum import IntEnum

from imd.kernel.errors import ImError
from imd.pb.connection_pb2 import Error
from imd.pb.envelope_pb2 import Envelope, Header
from imd.wire.codec import deliver_frame, encode, encode_json
from imd.wire.framing import FrameDecoder, encode_varint


class Priority(IntEnum):
    """Who goes first when a connection is slow (spec 7.4)."""

    CONTROL = 0
    NORMAL = 1
    LARGE_GROUP = 2
    BULK = 3


class Outbound:
    """One or more frames that travel together.

    ``counted`` is how many Deliver and Hint frames are in it, for Heartbeat.deliveredCount. The
    JSON form is made when the first JSON receiver asks, and then shared too.
    """

    __slots__ = ("_texts", "counted", "frames", "priority")

    def __init__(self, frames: bytes, priority: Priority, counted: int = 0) -> None:
        self.frames = frames
        self.priority = priority
        self.counted = counted
        self._texts: list[str] | None = None

    @property
    def texts(self) -> list[str]:
        """One JSON text for each frame."""
        if self._texts is None:
            bodies = FrameDecoder(limit_bytes=len(self.frames)).feed(self.frames)
            self._texts = [encode_json(Envelope.FromString(body)) for body in bodies]
        return self._texts


def control(envelope: Envelope) -> Outbound:
    """An answer, an ACK, a notice about the connection: never dropped, first in line."""
    return Outbound(encode(envelope), Priority.CONTROL)


def deliver(message: bytes, priority: Priority) -> Outbound:
    """A stored message, around its serialised ``Message``."""
    return Outbound(deliver_frame(message), priority, 1)


def joined(parts: list[Outbound], priority: Priority) -> Outbound:
    """Several deliveries as one, so that a receiver costs one push."""
    return Outbound(b"".join([part.frames for part in parts]), priority, sum(part.counted for part in parts))


def error_payload(error: ImError, *, closing: bool = False) -> Error:
    """The wire form of an error; anything else than an ImError must not get here."""
    return Error(
        code=int(error.code),  # type: ignore[arg-type]
        message=error.message,
        retryable=error.retryable,
        retryAfterMs=error.retry_after_ms,
        closing=closing,
        field=error.field,
        reason=error.reason,
    )


def refusal(error: ImError, *, request_id: int = 0, closing: bool = False) -> Outbound:
    """``Envelope{error}``, with the request's id."""
    header = Header(requestId=request_id) if request_id else None
    return control(Envelope(header=header, error=error_payload(error, closing=closing)))


def with_raw_payload(request_id: int, field_number: int, payload: bytes) -> Outbound:
    """An answer around a payload that is serialised already (history passes stored bytes through)."""
    head = Envelope(header=Header(requestId=request_id)).SerializeToString()
    body = head + encode_varint(field_number << 3 | 2) + encode_varint(len(payload)) + payload
    return Outbound(encode_varint(len(body)) + body, Priority.BULK)
