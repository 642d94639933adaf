"""Questions and answers of im.internal.v1 on the bus: bytes to messages and back, in one place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from imd.bus import traced
from imd.bus.failures import failure_of
from imd.bus.port import Bus, Responder
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError, PayloadInvalid
from imd.kernel.histogram import Histogram
from imd.ops.metrics.buckets import QUESTION
from imd.ops.tracing import NO_TRACER, Tracer

Query = TypeVar("Query", bound=Message)


class Answer(Protocol):
    """Any answer of im.internal.v1: a failure, or the rest."""

    def SerializeToString(self) -> bytes: ...


class Answered:
    """What was answered, by the last word of its subject, and how long that took."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self.counts: dict[str, int] = {}
        self.seconds = Histogram(QUESTION.bounds)

    def counting(self, subject: str, responder: Responder) -> Responder:
        """The same, counted."""
        word = subject.rpartition(".")[2]
        self.counts[word] = 0

        async def counted(payload: bytes) -> bytes:
            began_s = self._clock.seconds()
            try:
                return await responder(payload)
            finally:
                self.counts[word] += 1
                self.seconds.observe(self._clock.seconds() - began_s)

        return counted


def respond(
    bus: Bus,
    subject: str,
    query_type: type[Query],
    answer_type: Callable[..., Answer],
    answer: Callable[[Query], Awaitable[Answer]],
    *,
    tracer: Tracer = NO_TRACER,
    counted: Answered | None = None,
) -> None:
    """Have what is asked on this subject answered; an expected no is a ``Failure`` in the answer, no exception.

    :param counted: where it is counted.
    """

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

    bus.respond(subject, responder if counted is None else counted.counting(subject, responder))
