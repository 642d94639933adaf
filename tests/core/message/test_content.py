"""What a message may hold, and what makes two the same."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.core.message.content import (
    MAX_MEDIA_STRING_BYTES,
    MAX_META_ENTRIES,
    ContentLimits,
    Origin,
    check_send,
    content_hash,
    sent_body,
    with_seq,
)
from imd.kernel.errors import MediaRequired, PayloadInvalid
from imd.pb.message_pb2 import CUSTOM, IMAGE, RECALL, STORED, SYSTEM, TEXT, MediaRef, Message, SendMessageReq

LIMITS = ContentLimits(text_bytes=100, binary_bytes=1000)
ORIGIN = Origin("g_1", 7, "phone", "c1", 1 << 62, 1_800_000_000_000)


def request(**fields: Any) -> SendMessageReq:
    plain = {"conversationId": "g_1", "clientMsgId": "c1", "type": TEXT, "textContent": "hi"}
    if {"mediaRef", "binaryContent"} & set(fields):
        del plain["textContent"]
    return SendMessageReq(**{**plain, **fields})


def check(message: SendMessageReq) -> None:
    check_send(message, size_bytes=message.ByteSize(), limits=LIMITS)


class CheckTests(SynchronousTestCase):
    """Refused with the field's name."""

    def test_good(self) -> None:
        """Text, media, bytes and labels within their limits."""
        check(request(textContent="x" * 100))
        check(request(type=IMAGE, mediaRef=MediaRef(url="https://host/a.png")))
        check(request(type=CUSTOM, binaryContent=b"x" * 1000))
        check(request(meta={"k": "v"}))

    def test_bad(self) -> None:
        """Each wrong field is named."""
        media = {"type": IMAGE}
        for fields, field in (
            ({"clientMsgId": ""}, "clientMsgId"),
            ({"clientMsgId": "a b"}, "clientMsgId"),
            ({"conversationId": "$ne"}, "conversationId"),
            ({"type": SYSTEM}, "type"),
            ({"type": RECALL}, "type"),
            ({"type": 99}, "type"),
            ({"textContent": ""}, "textContent"),
            ({"textContent": "é" * 51}, "textContent"),
            ({"type": CUSTOM}, "binaryContent"),
            ({"type": CUSTOM, "binaryContent": b"x" * 1001}, "binaryContent"),
            ({"type": CUSTOM, "binaryContent": b"x" * 990, "meta": {"k": "v" * 10}}, "binaryContent"),
            ({"meta": {str(number): "" for number in range(MAX_META_ENTRIES + 1)}}, "meta"),
            ({"meta": {"": "v"}}, "meta"),
            ({"meta": {"k" * 65: "v"}}, "meta"),
            ({**media, "mediaRef": MediaRef(url="javascript:x")}, "mediaRef.url"),
            ({**media, "mediaRef": MediaRef(mediaId="m", size=-1)}, "mediaRef"),
            ({**media, "mediaRef": MediaRef(mediaId="m" * (MAX_MEDIA_STRING_BYTES + 1))}, "mediaRef.mediaId"),
        ):
            with self.assertRaises(PayloadInvalid, msg=str(fields)) as refused:
                check(request(**fields))
            self.assertEqual(refused.exception.field, f"send.{field}")

    def test_media_required(self) -> None:
        """A picture without a picture is 1010."""
        self.assertRaises(MediaRequired, check, request(type=IMAGE))
        self.assertRaises(MediaRequired, check, request(type=IMAGE, mediaRef=MediaRef(md5="x")))


_META = st.dictionaries(
    st.text(alphabet="a1|\x00é", max_size=4), st.text(alphabet="a1|\x00é", max_size=4), max_size=3
)
_SENDS = st.tuples(st.sampled_from((TEXT, CUSTOM)), st.text(alphabet="ab1|\x00é", max_size=6), _META)


def build(kind: int, content: str, meta: dict[str, str]) -> SendMessageReq:
    if kind == TEXT:
        return request(textContent=content, meta=meta)
    return request(type=CUSTOM, binaryContent=content.encode(), meta=meta)


class HashTests(SynchronousTestCase):
    """Equal content and nothing else has an equal hash."""

    def test_look_alikes(self) -> None:
        """Content cannot be shaped to look like other content with labels."""
        pairs = (
            (request(textContent="a|1|k|v"), request(textContent="a", meta={"k": "v"})),
            (request(meta={"a": "x|1|b|y"}), request(meta={"a": "x", "b": "y"})),
            (request(meta={"a": "x1|1|by"}), request(meta={"a": "x", "b": "y"})),
        )
        for one, other in pairs:
            self.assertNotEqual(content_hash(one), content_hash(other))

    @settings(max_examples=40, deadline=None)
    @given(_SENDS, _SENDS)
    def test_any(self, one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
        """Two sends have the same hash if and only if they are the same."""
        same = content_hash(build(*one)) == content_hash(build(*other))
        self.assertEqual(same, one == other)

    def test_map_order(self) -> None:
        """The order in which labels came does not count."""
        self.assertEqual(
            content_hash(request(meta={"a": "1", "b": "2"})), content_hash(request(meta={"b": "2", "a": "1"}))
        )


class BodyTests(SynchronousTestCase):
    """The stored form."""

    @settings(max_examples=20, deadline=None)
    @given(_SENDS, st.integers(min_value=1, max_value=(1 << 63) - 1))
    def test_round_trip(self, send: tuple[Any, ...], seq: int) -> None:
        """What was sent comes back, with what the server knows, and the seq put behind it."""
        sent = build(*send)
        message = Message.FromString(with_seq(sent_body(sent, ORIGIN), seq))
        self.assertEqual((message.seq, message.senderId, message.status), (seq, 7, STORED))
        self.assertEqual(message.textContent, sent.textContent)
        self.assertEqual(message.binaryContent, sent.binaryContent)
        self.assertEqual(dict(message.meta), dict(sent.meta))

    def test_unknown_fields(self) -> None:
        """What the server does not know is not stored for others."""
        smuggled = MediaRef.FromString(MediaRef(mediaId="m").SerializeToString() + b"\xfa\x3f\x03abc")
        body = sent_body(request(type=IMAGE, mediaRef=smuggled), ORIGIN)
        self.assertNotIn(b"abc", body)
