"""An HTTP server of the operator's that judges messages before they are taken in."""

from __future__ import annotations

from collections import deque
from typing import Any, Literal, Protocol

import msgspec
from msgspec import Struct
from twisted.internet.defer import CancelledError, Deferred

from imd.core.screening.model import ALLOWED, Action, Draft, NoVerdict, Verdict
from imd.hooks.breaker import Breaker, State
from imd.hooks.post import Answer, PostFailed
from imd.pb.message_pb2 import MediaRef, MessageType
from imd.pb.sync_pb2 import ConversationKind

#: Messages that wait for a connection; what comes on top would miss its deadline anyway.
MAX_WAITING = 1_000
MAX_REASON = 64
EVENT_HEADER = "X-Imd-Event"


class Posts(Protocol):
    """As of ``imd.hooks.post.SignedPosts``."""

    async def post(self, body: bytes, headers: dict[str, str], /) -> Answer: ...


class _Asked(Struct):
    """The request. Ids are texts, since 64 bits do not fit into the numbers of many languages."""

    event: str
    senderId: str
    deviceId: str
    conversationId: str
    kind: str
    clientMsgId: str
    type: str
    text: str
    media: dict[str, Any] | None


class _Answered(Struct):
    """The answer; what else is in it is not looked at."""

    verdict: Literal["allow", "replace", "refuse", "review"]
    text: str = ""
    reason: str = ""


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(_Answered)


class HttpHook:
    """See ``ContentCheck``.

    :param connections: calls at a time; the others wait, in order.
    :param max_text_bytes: of a text that is put in place of another.
    """

    def __init__(self, *, posts: Posts, breaker: Breaker, connections: int, max_text_bytes: int) -> None:
        self._posts = posts
        self._breaker = breaker
        self._free = connections
        self._queue: deque[Deferred[None]] = deque()
        self._dealing = False
        self._max_text_bytes = max_text_bytes
        #: Calls without a verdict, those cut off at the deadline among them.
        self.failures = 0

    @property
    def is_resting(self) -> bool:
        """Whether it is left alone, since it failed several times in a row."""
        return self._breaker.state is not State.CLOSED

    def check(self, draft: Draft) -> Deferred[Verdict]:
        """See ``ContentCheck``."""
        return Deferred.fromCoroutine(self._check(draft))

    async def _check(self, draft: Draft) -> Verdict:
        await self._take_connection()
        try:
            if not self._breaker.allows():
                raise NoVerdict("it failed several times in a row and is left alone for a while")
            return await self._call(draft)
        finally:
            self._give_connection_back()

    async def _take_connection(self) -> None:
        if self._free:
            self._free -= 1
            return
        if len(self._queue) >= MAX_WAITING:
            raise NoVerdict("too many messages wait for it")
        turn: Deferred[None] = Deferred()
        self._queue.append(turn)
        try:
            await turn
        except CancelledError:
            self._queue.remove(turn)
            raise

    def _give_connection_back(self) -> None:
        self._free += 1
        if self._dealing:
            # Whoever got a connection gave it back at once: the loop below goes on, instead of deeper.
            return
        self._dealing = True
        try:
            while self._free and self._queue:
                self._free -= 1
                self._queue.popleft().callback(None)
        finally:
            self._dealing = False

    async def _call(self, draft: Draft) -> Verdict:
        try:
            answer = await self._posts.post(_asked(draft), {EVENT_HEADER: "message.sending"})
            verdict = self._verdict(answer)
            if verdict.action is Action.REPLACE and not draft.text:
                raise NoVerdict("it replaces the text of a message that has none")
        except (PostFailed, NoVerdict) as error:
            self._failed()
            raise NoVerdict(str(error)) from None
        except BaseException:
            # Above all that the deadline is over, which cancels.
            self._failed()
            raise
        self._breaker.succeeded()
        return verdict

    def _failed(self) -> None:
        self.failures += 1
        self._breaker.failed()

    def _verdict(self, answer: Answer) -> Verdict:
        if not answer.is_good:
            raise NoVerdict(f"it answered {answer.status}")
        try:
            given = _DECODER.decode(answer.body)
        except (ValueError, RecursionError):
            raise NoVerdict("its answer is no verdict") from None
        action = Action[given.verdict.upper()]
        if action is Action.ALLOW:
            return ALLOWED
        if action is Action.REPLACE and not 0 < len(given.text.encode()) <= self._max_text_bytes:
            raise NoVerdict("the text it puts in place is empty or too long")
        text = given.text if action is Action.REPLACE else ""
        return Verdict(action, text=text, reason=given.reason[:MAX_REASON])


def _asked(draft: Draft) -> bytes:
    return _ENCODER.encode(
        _Asked(
            event="message.sending",
            senderId=str(draft.sender_id),
            deviceId=draft.device_id,
            conversationId=draft.conversation_id,
            kind=_name(ConversationKind, draft.kind),
            clientMsgId=draft.client_msg_id,
            type=_name(MessageType, draft.type),
            text=draft.text,
            media=_media(draft.media) if draft.media else None,
        )
    )


def _name(kind: Any, number: int) -> str:
    return str(kind.Name(number)).lower()


def _media(serialised: bytes) -> dict[str, Any]:
    media = MediaRef.FromString(serialised)
    return {field.name: value for field, value in media.ListFields()}
