"""The directory over the bus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from google.protobuf.message import DecodeError, Message
from twisted.internet.defer import TimeoutError
from twisted.logger import Logger

from imd.bus import subjects, traced
from imd.bus.failures import error_of
from imd.bus.port import Bus, BusFailure, NoResponder
from imd.core.directory import Claims, ConversationEntry, Membership, Speaker
from imd.core.permission.asking import Asking
from imd.core.permission.codec import decode_membership
from imd.core.permission.restricted import RestrictedPage
from imd.kernel.errors import ServerBusy
from imd.ops.tracing import NO_TRACER, Tracer
from imd.pb.bus_pb2 import (
    ConversationsAnswer,
    ConversationsQuery,
    DirectAnswer,
    DirectQuery,
    Failure,
    MembersAnswer,
    MembersQuery,
    RestrictedAnswer,
    RestrictedQuery,
    TokenCheck,
    TokenVerdict,
    VisibleAnswer,
    VisibleQuery,
)

_RETRY_AFTER_MS = 1_000
#: Of conversations, a thousand each; one connection asks for all of them.
_MAX_PAGES = 50


class _Answer(Protocol):
    """What all answers on ``im.auth.*`` have in common."""

    @property
    def failure(self) -> Failure: ...

    def ParseFromString(self, serialized: bytes, /) -> int: ...


A = TypeVar("A", bound=_Answer)


class BusDirectory:
    """The business role behind ``im.auth.*``.

    :param asking: puts the questions that messages may wait for; None: they are simply put.
    """

    _log = Logger()

    def __init__(self, *, bus: Bus, asking: Asking | None = None, tracer: Tracer = NO_TRACER) -> None:
        self._bus = bus
        self._asking = asking
        self._tracer = tracer

    async def verify(self, token: str, device_id: str) -> Claims:
        query = TokenCheck(token=token, deviceId=device_id)
        verdict = await self._ask(subjects.AUTH_TOKEN, query, TokenVerdict())
        return Claims(
            user_id=verdict.userId,
            device_id=verdict.deviceId,
            expires_at_ms=verdict.expiresAt,
            scopes=frozenset(verdict.scopes),
            login_id=verdict.loginId,
            ticket=verdict.ticket,
            level=verdict.level,
        )

    async def membership(self, conversation_id: str, *, sparing: bool = False) -> Membership | None:
        query = MembersQuery(conversationId=conversation_id)
        timeout_s = subjects.PERMISSION_TIMEOUT_S if self._asking is None else self._asking.timeout_s
        answer = await self._ask_timed(
            subjects.AUTH_MEMBERS, query, MembersAnswer(), timeout_s=timeout_s, sparing=sparing
        )
        return decode_membership(conversation_id, answer) if answer.found else None

    async def open_direct(self, speaker: Speaker, peer_user_id: int) -> str:
        query = DirectQuery(userId=speaker.user_id, peerUserId=peer_user_id, ticket=speaker.ticket)
        # Always for a message.
        answer = await self._ask_timed(
            subjects.AUTH_DIRECT, query, DirectAnswer(), timeout_s=subjects.DEFAULT_TIMEOUT_S, sparing=True
        )
        return answer.conversationId

    async def conversations_of(self, speaker: Speaker) -> Sequence[ConversationEntry]:
        entries: list[ConversationEntry] = []
        query = ConversationsQuery(userId=speaker.user_id, ticket=speaker.ticket)
        for _ in range(_MAX_PAGES):
            answer = await self._ask(subjects.AUTH_CONVERSATIONS, query, ConversationsAnswer())
            entries += [
                ConversationEntry(
                    entry.conversationId,
                    int(entry.kind),
                    entry.peerUserId,
                    entry.title,
                    entry.memberCount,
                    entry.visibleFrom,
                )
                for entry in answer.conversations
            ]
            if not answer.next:
                return entries
            query.after = answer.next
        self._log.warn(
            "user {user_id} has too many conversations; some are not shown", user_id=speaker.user_id
        )
        return entries

    async def visible(self, speaker: Speaker, target_ids: Sequence[int]) -> frozenset[int]:
        query = VisibleQuery(userId=speaker.user_id, targetIds=target_ids, ticket=speaker.ticket)
        answer = await self._ask(subjects.AUTH_VISIBLE, query, VisibleAnswer())
        return frozenset(answer.visibleIds)

    async def restricted(self, after: str) -> RestrictedPage:
        """See ``RestrictedSource``."""
        answer = await self._ask(subjects.AUTH_RESTRICTED, RestrictedQuery(after=after), RestrictedAnswer())
        return RestrictedPage(list(zip(answer.conversationIds, answer.userIds, strict=False)), answer.next)

    async def _ask_timed(
        self, subject: str, query: Message, answer: A, *, timeout_s: float, sparing: bool
    ) -> A:
        """As ``_ask``, for what messages may wait for: by these it is judged whether the authority answers."""
        if self._asking is None:
            return await self._ask(subject, query, answer, timeout_s)
        return await self._asking(lambda: self._ask(subject, query, answer, timeout_s), sparing=sparing)

    async def _ask(
        self, subject: str, query: Message, answer: A, timeout_s: float = subjects.DEFAULT_TIMEOUT_S
    ) -> A:
        """The answer, filled in; or the error that it carries."""
        try:
            payload = query.SerializeToString()
            answer.ParseFromString(
                await traced.request(self._bus, self._tracer, subject, payload, timeout_s=timeout_s)
            )
        except (NoResponder, TimeoutError, BusFailure) as error:
            self._log.warn("{subject}: {error!r}", subject=subject, error=error)
            raise ServerBusy("the directory does not answer", retry_after_ms=_RETRY_AFTER_MS) from error
        except DecodeError as error:
            self._log.failure("{subject}: the answer cannot be read", subject=subject)
            raise ServerBusy("the directory does not answer", retry_after_ms=_RETRY_AFTER_MS) from error
        if answer.failure.code:
            raise error_of(answer.failure)
        return answer
