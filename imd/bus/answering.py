"""Questions and answers of im.internal.v1 on the bus: bytes to messages and back, in one place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from imd.bus import traced
from imd.bus.failures import failure_of
from imd.bus.port import Bus
from imd.kernel.errors import ImError, PayloadInvalid
from imd.ops.tracing import NO_TRACER, Tracer

Query = TypeVar("Query", bound=Message)


class Answer(Protocol):
    """Any answer of im.internal.v1: a failure, or the rest."""

    def SerializeToString(self) -> bytes: ...


def respond(
    bus: Bus,
    subject: str,
    query_type: type[Query],
    answer_type: Callable[..., Answer],
    answer: Callable[[Query], Awaitable[Answer]],
    *,
    tracer: Tracer = NO_TRACER,
) -> None:
    """Have what is asked on this subject answered; an expected no is a ``Failure`` in the answer, no exception."""

    async def responder(payload: bytes) -> bytes:
        try:
            try:
                query = query_type.FromString(payload)
            except DecodeError:
                raise PayloadInvalid(f"this is not a {query_type.__name__}") from None
            answered = await traced.answer(tracer, subject, lambda: answer(query))
            return answered.SerializeToString()
        except ImError as error:
            return answer_type(failure=failure_of(error)).SerializeToString()

    bus.respond(subject, responder)
