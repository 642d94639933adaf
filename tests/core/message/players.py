"""Those around the pipeline: people and who they are, their devices, and who waits for answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from twisted.internet.defer import Deferred

from imd.core.directory import GROUP, MEMBER, OWNER, P2P, Claims, ConversationEntry, Membership, Speaker
from imd.core.message.sends import PendingSend
from imd.kernel.errors import Forbidden, ImError, ServerBusy
from imd.kernel.ids import direct_conversation_id
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import Message
from imd.wire.framing import FrameDecoder
from imd.wire.outbound import Outbound

ANN, BOB, CY, DAN = 1, 2, 3, 4
GROUP_ID = "g_1"


class People:
    """The directory, as plain dicts; ``gate`` holds look-ups up, ``busy`` fails them, ``spared`` those that can do without."""

    def __init__(self) -> None:
        self.known: dict[str, Membership] = {}
        self.gate: Deferred[None] | None = None
        self.busy = False
        self.spared = False
        self.blocked: set[int] = set()

    def put(self, conversation_id: str, *user_ids: int, kind: int = GROUP) -> None:
        old = self.known.get(conversation_id)
        version = old.version + 1 if old is not None else 1
        roles = dict.fromkeys(user_ids, MEMBER)
        if kind == GROUP:
            roles[user_ids[0]] = OWNER
        self.known[conversation_id] = Membership(conversation_id, kind, version, roles)

    async def _wait(self) -> None:
        if self.gate is not None:
            waiting: Deferred[None] = Deferred()
            self.gate.addCallback(lambda _: waiting.callback(None))
            await waiting
        if self.busy:
            raise ServerBusy("planted")

    async def membership(self, conversation_id: str, *, sparing: bool = False) -> Membership | None:
        if sparing and self.spared:
            raise ServerBusy("planted")
        await self._wait()
        return self.known.get(conversation_id)

    async def open_direct(self, speaker: Speaker, peer_user_id: int) -> str:
        await self._wait()
        if speaker.user_id in self.blocked:
            raise Forbidden("planted")
        conversation_id = direct_conversation_id(speaker.user_id, peer_user_id)
        if conversation_id not in self.known:
            self.put(conversation_id, speaker.user_id, peer_user_id, kind=P2P)
        return conversation_id

    async def conversations_of(self, speaker: Speaker) -> Sequence[ConversationEntry]:
        return [
            ConversationEntry(each.conversation_id, each.kind, 0, "", len(each.roles))
            for each in self.known.values()
            if speaker.user_id in each.roles
        ]

    async def visible(self, speaker: Speaker, target_ids: Sequence[int]) -> frozenset[int]:
        return frozenset(target_ids)

    async def verify(self, token: str, device_id: str) -> Claims:
        raise NotImplementedError


class Device:
    """A recipient that keeps what it is pushed."""

    def __init__(self, user_id: int, device_id: str) -> None:
        self.user_id = user_id
        self.device_id = device_id
        self.outbounds: list[Outbound] = []
        self.breaks = False

    def push(self, outbound: Outbound) -> None:
        if self.breaks:
            raise RuntimeError("planted")
        self.outbounds.append(outbound)

    @property
    def envelopes(self) -> list[Envelope]:
        found: list[Envelope] = []
        for outbound in self.outbounds:
            found += map(Envelope.FromString, FrameDecoder(limit_bytes=1 << 22).feed(outbound.frames))
        return found

    def messages(self, conversation_id: str = GROUP_ID) -> list[Message]:
        return [
            each.deliver.message
            for each in self.envelopes
            if each.deliver.message.conversationId == conversation_id
        ]

    def seqs(self, conversation_id: str = GROUP_ID) -> list[int]:
        return [message.seq for message in self.messages(conversation_id)]

    @property
    def hints(self) -> list[int]:
        return [each.hint.lastSeq for each in self.envelopes if each.WhichOneof("payload") == "hint"]

    @property
    def receipts(self) -> list[tuple[int, int, int]]:
        return [
            (cursor.userId, cursor.deliveredSeq, cursor.readSeq)
            for each in self.envelopes
            for cursor in each.receiptNotice.cursors
        ]


class Sessions:
    """Who is connected."""

    def __init__(self) -> None:
        self.devices: list[Device] = []

    def of_user(self, user_id: int) -> Sequence[Device]:
        return [device for device in self.devices if device.user_id == user_id]


class Told(NamedTuple):
    """One answer to a submitter."""

    what: str
    client_msg_id: str
    seq: int = 0
    code: int = 0


class Answers:
    """A submitter that keeps what it is told; ``breaks`` makes it fail at STORED."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        #: Why those failed that did.
        self.reasons: dict[str, str] = {}
        self.breaks = False

    def accepted(self, send: PendingSend) -> None:
        self.told.append(Told("accepted", send.key.client_msg_id))

    def stored(self, send: PendingSend, *, duplicate: bool) -> None:
        if self.breaks:
            raise RuntimeError("planted")
        self.told.append(Told("duplicate" if duplicate else "stored", send.key.client_msg_id, send.seq))

    def failed(self, send: PendingSend, error: ImError) -> None:
        self.reasons[send.key.client_msg_id] = error.reason
        self.told.append(Told("failed", send.key.client_msg_id, code=int(error.code)))

    def delayed(self, send: PendingSend) -> None:
        self.told.append(Told("delayed", send.key.client_msg_id))

    def of(self, client_msg_id: str) -> list[str]:
        return [told.what for told in self.told if told.client_msg_id == client_msg_id]

    def seqs(self) -> list[int]:
        return [told.seq for told in self.told if told.what == "stored"]
