"""Every question about permissions goes through here: it is timed; while the breaker is open those are not put for
which the matrix can stand in. It cannot for somebody who reads."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, TimeoutError

from imd.core.permission.channel import Channel
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError, InternalError, OutcomeUnknown, ServerBusy
from imd.kernel.histogram import Histogram
from imd.ops.metrics.buckets import QUESTION
from imd.ops.metrics.of_permission import QUESTION_RESULTS

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
        self.results = dict.fromkeys(QUESTION_RESULTS, 0)
        self.seconds = Histogram(QUESTION.bounds)

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
            self.results["held_back"] += 1
            wait_ms = round(channel.rests_s(asked_s) * 1000)
            raise ServerBusy("the directory is not asked now", retry_after_ms=max(1000, wait_ms))
        try:
            answer = await question()
        except _NO_ANSWERS as error:
            now_s, timed_out = self._clock.seconds(), isinstance(error.__cause__, TimeoutError)
            self._note(now_s - asked_s, "timed_out" if timed_out else "failed")
            if timed_out:
                channel.timed_out(now_s)
            else:
                channel.failed(now_s)
            raise
        except ImError:
            self._answered(asked_s)
            raise
        self._answered(asked_s)
        return answer

    def _answered(self, asked_s: float) -> None:
        now_s = self._clock.seconds()
        self._note(now_s - asked_s, "answered")
        self._channel.answered(now_s - asked_s, now_s)

    def _note(self, took_s: float, result: str) -> None:
        self.results[result] += 1
        self.seconds.observe(took_s)
