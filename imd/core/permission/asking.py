"""Every question about permissions goes through here: it is timed; while the breaker is open those are not put for
which the matrix can stand in. It cannot for somebody who reads."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, TimeoutError

from imd.core.permission.channel import Channel
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError, InternalError, OutcomeUnknown, ServerBusy

T = TypeVar("T")

#: What the authority says when it cannot judge either; everything else is an answer, also a no.
_NO_ANSWERS = (ServerBusy, InternalError, OutcomeUnknown)


class Asking:
    """Tells the channel how questions end.

    :ivar heeds: whether the breaker is heeded; else it is only watched.
    """

    def __init__(self, *, channel: Channel, clock: Clock) -> None:
        self._channel = channel
        self._clock = clock
        self.heeds = True

    @property
    def timeout_s(self) -> float:
        """How long a question is worth waiting for."""
        return self._channel.values.timed_out_above_s

    async def __call__(self, question: Callable[[], Coroutine[Deferred[Any], Any, T]], *, sparing: bool) -> T:
        """The answer.

        :param sparing: whether the breaker holds it back.
        :raises ServerBusy: there is none, or nothing is asked now.
        """
        channel, asked_s = self._channel, self._clock.seconds()
        # In any case: what is put is a probe, too.
        may_ask = channel.may_ask(asked_s)
        if sparing and self.heeds and not may_ask:
            wait_ms = round(channel.rests_s(asked_s) * 1000)
            raise ServerBusy("the directory is not asked now", retry_after_ms=max(1000, wait_ms))
        try:
            answer = await question()
        except _NO_ANSWERS as error:
            if isinstance(error.__cause__, TimeoutError):
                channel.timed_out(self._clock.seconds())
            else:
                channel.failed(self._clock.seconds())
            raise
        except ImError:
            self._answered(asked_s)
            raise
        self._answered(asked_s)
        return answer

    def _answered(self, asked_s: float) -> None:
        now_s = self._clock.seconds()
        self._channel.answered(now_s - asked_s, now_s)
