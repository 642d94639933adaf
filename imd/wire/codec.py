"""Envelopes to bytes and back: protobuf for speed, JSON for browsers and people.

The hot path never builds a delivery twice: a ``Message`` is serialised once when it is stored,
and its frame is put together around those same bytes.
"""

from __future__ import annotations

from google.protobuf.internal import api_implementation
from google.protobuf.json_format import MessageToJson, Parse, ParseError
from google.protobuf.message import DecodeError

from imd.kernel.errors import PayloadInvalid, StartupError
from imd.pb.envelope_pb2 import Envelope
from imd.wire.framing import encode_varint, frame

#: Tags of length-delimited fields: field number << 3 | 2.
_DELIVER_TAG = encode_varint(30 << 3 | 2)
#: Looked up once: on a message, a method is first looked for among the fields, for 0.1 us.
_from_bytes, _to_bytes = Envelope.FromString, Envelope.SerializeToString
#: json_format counts nested messages; an Envelope is 4 deep.
JSON_DEPTH = 16


def require_fast_protobuf() -> None:
    """The pure-Python protobuf is slow and has known attacks; refuse to serve with it."""
    if api_implementation.Type() != "upb":
        raise StartupError(
            f"protobuf runs as {api_implementation.Type()!r}, not 'upb': reinstall the protobuf wheel "
            "for this platform and unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"
        )


def decode(body: bytes) -> Envelope:
    """The Envelope in a frame's body.

    :raises PayloadInvalid: not an Envelope: broken, nested too deeply, or not UTF-8.
    """
    try:
        return _from_bytes(body)
    except DecodeError:
        raise PayloadInvalid("this frame is not an Envelope") from None


def encode(envelope: Envelope) -> bytes:
    """The frame of an Envelope, length included."""
    return frame(_to_bytes(envelope))


def decode_json(text: str) -> Envelope:
    """The Envelope in a JSON text message; unknown fields are ignored, as in protobuf.

    :raises PayloadInvalid: not an Envelope; the message says where.
    """
    # json_format takes a list or a text for an object without fields.
    if not text.lstrip().startswith("{"):
        raise PayloadInvalid("this text is not a JSON Envelope: it is not an object")
    try:
        return Parse(text, Envelope(), ignore_unknown_fields=True, max_recursion_depth=JSON_DEPTH)
    except (ParseError, ValueError, RecursionError) as error:
        raise PayloadInvalid(f"this text is not a JSON Envelope: {str(error)[:200]}") from None


def encode_json(envelope: Envelope) -> str:
    """An Envelope as one line of JSON; 64-bit numbers are strings."""
    return MessageToJson(envelope, indent=None)


def deliver_frame(message: bytes) -> bytes:
    """The frame of ``Envelope{deliver{message}}`` around a serialised ``Message``."""
    deliver = b"\x0a" + encode_varint(len(message)) + message
    body_length = len(_DELIVER_TAG) + len(deliver)
    head = encode_varint(len(deliver))
    return encode_varint(body_length + len(head)) + _DELIVER_TAG + head + deliver
