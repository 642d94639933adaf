"""What a message may hold, and that it arrives as it was sent."""

from __future__ import annotations

from imd.client.events import ChatMessage, MessageStored
from imd.kernel.errors import Code
from imd.pb.message_pb2 import AUDIO, CUSTOM, FILE, IMAGE, TEXT, VIDEO, MediaRef
from tests.dialogue.device import Device, Target, address
from tests.dialogue.stage import Dialogue, Stage, refused

KIB = 1024
GRIN = "\U0001f600"
PICTURE = MediaRef(
    mediaId="m-1",
    url="https://media.example/m-1?sig=a%2Fb",
    size=123_456_789_012,
    md5="d41d8cd98f00b204e9800998ecf8427e",
    mime="image/png",
    duration=7,
    width=640,
    height=480,
    thumbnailUrl="/thumbs/m-1",
)


def _content(message: ChatMessage) -> tuple[object, ...]:
    """All that must be alike for whoever sees it."""
    media = message.media.SerializeToString(deterministic=True) if message.media else None
    return (
        message.conversation_id,
        message.seq,
        message.server_msg_id,
        message.client_msg_id,
        message.sender_id,
        message.sender_device_id,
        message.type,
        message.text,
        media,
        message.binary,
        sorted(message.meta.items()),
        message.server_time_ms,
    )


async def _one_of_every_type(device: Device, to: Target) -> list[int]:
    """Sends them; their types."""
    meta = {"reply-to": "1", "嗯": GRIN}
    await device.client.send_text(f"plain \x00 {GRIN} 你好 \u202e e\u0301 \n\t", meta=meta, **address(to))
    for media_type in (IMAGE, AUDIO, VIDEO, FILE):
        await device.client.send_media(media_type, PICTURE, meta=meta, **address(to))
    await device.client.send_custom(bytes(range(256)), meta=meta, **address(to))
    return [TEXT, IMAGE, AUDIO, VIDEO, FILE, CUSTOM]


class Content(Dialogue):
    """What a message may hold."""

    async def test_every_type_through_mixed_transports(self) -> None:
        """Every type is seen alike by protobuf and JSON devices, whichever kind sent it, live and later."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.person("alice"), await stage.person("bob")
        phone = await alice.device("phone")
        laptop = await alice.device("laptop", over=self.transport.other)
        bobs_phone = await bob.device("phone", over=self.transport.other)
        types = await _one_of_every_type(phone, bob)
        types += await _one_of_every_type(bobs_phone, alice)
        seen = [await laptop.sees(seq=seq) for seq in range(1, 13)]
        self.assertEqual([one.type for one in seen], types)
        self.assertEqual(seen[0].text, f"plain \x00 {GRIN} 你好 \u202e e\u0301 \n\t")
        self.assertEqual(seen[1].media, PICTURE)
        self.assertEqual(seen[5].binary, bytes(range(256)))
        self.assertEqual(seen[5].meta, {"reply-to": "1", "嗯": GRIN})
        wanted = list(map(_content, seen))
        self.assertEqual([_content(await bobs_phone.sees()) for _ in range(6)], wanted[:6])
        self.assertEqual([_content(await phone.sees()) for _ in range(6)], wanted[6:])
        self.assertEqual([_content(sign.message) for sign in phone.signs(MessageStored)], wanted[:6])
        later = await bob.device("laptop")
        self.assertEqual([_content(await later.sees()) for _ in range(12)], wanted)
        self.assertEqual(list(map(_content, await laptop.past(bob))), wanted)

    async def test_media_without_medium(self) -> None:
        """A media message needs its mediaRef."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        for media_type in (IMAGE, AUDIO, VIDEO, FILE):
            sending = alice.client.send_media(media_type, MediaRef(), peer_user_id=bob.user_id)
            await refused(Code.MEDIA_REQUIRED, sending, field="mediaRef")
        await alice.sends("in words, then", to=bob)
        await bob.sees("in words, then", seq=1)

    async def test_largest_binary(self) -> None:
        """256 KiB go through, byte by byte; one more is refused and harms nothing."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        largest = bytes(range(256)) * KIB
        sending = alice.client.send_custom(largest, peer_user_id=bob.user_id)
        await alice.within("have 256 KiB stored", sending)
        self.assertEqual((await bob.sees(seq=1)).binary, largest)
        too_large = alice.client.send_custom(largest + b"!", peer_user_id=bob.user_id)
        await refused(Code.PAYLOAD_INVALID, alice.within("be refused", too_large), field="binaryContent")
        await alice.sends("small again", to=bob)
        await bob.sees("small again", seq=2)
        self.assertEqual(alice.client.state.value, "live")

    async def test_largest_text(self) -> None:
        """32 KiB of four-byte characters go through unchanged; one character more is refused."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        largest = GRIN * (32 * KIB // 4)
        await alice.sends(largest, to=bob)
        self.assertEqual((await bob.sees(seq=1)).text, largest)
        self.assertEqual([one.text for one in await bob.past(alice)], [largest])
        await refused(Code.PAYLOAD_INVALID, alice.sends(largest + ".", to=bob), field="textContent")
        await refused(Code.PAYLOAD_INVALID, alice.sends("", to=bob), field="textContent")
        await bob.sees_nothing_more()
