"""Checks that do as they are told, and somebody to check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from twisted.internet.defer import Deferred

from imd.core.directory import Speaker
from imd.core.message.sends import PendingSend
from imd.core.screening.model import ALLOWED, Draft, Held, Verdict
from imd.kernel.errors import ImError
from imd.pb.message_pb2 import Message

DRAFT = Draft(
    sender_id=7,
    device_id="phone",
    conversation_id="c",
    kind=2,
    client_msg_id="m-1",
    type=1,
    text="what the heck",
    media=b"",
)


class AtOnce:
    """Answers at once."""

    def __init__(self, judge: Callable[[Draft], Verdict] = lambda _: ALLOWED) -> None:
        self.judge = judge
        self.asked: list[Draft] = []

    def check(self, draft: Draft) -> Verdict:
        self.asked.append(draft)
        return self.judge(draft)


class Slow:
    """Answers when the test says so; ``asked`` and ``answers`` are in step."""

    def __init__(self) -> None:
        self.asked: list[Draft] = []
        self.answers: list[Deferred[Verdict]] = []

    def check(self, draft: Draft) -> Deferred[Verdict]:
        self.asked.append(draft)
        self.answers.append(Deferred())
        return self.answers[-1]


class Reviews:
    """See ``HeldMessages``."""

    def __init__(self) -> None:
        self.held: list[tuple[str, str, str]] = []
        self.known: dict[str, Held] = {}
        self.error: ImError | None = None

    async def hold(self, send: PendingSend, draft: Draft, reason: str) -> Held:
        if self.error is not None:
            raise self.error
        self.held.append((send.key.client_msg_id, Message.FromString(send.body).textContent, reason))
        return self.known.setdefault(send.key.client_msg_id, Held.UNDECIDED)

    async def states(
        self, conversation_id: str, sender: Speaker, client_msg_ids: Sequence[str]
    ) -> Mapping[str, Held]:
        if self.error is not None:
            raise self.error
        return {one: self.known[one] for one in client_msg_ids if one in self.known}
