"""Checks one behind the other, each with its deadline and with what its failure means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.core.screening.model import (
    ALLOWED,
    UNAVAILABLE,
    Action,
    Draft,
    FailureMode,
    NoVerdict,
    Verdict,
)
from imd.core.screening.ports import ContentCheck
from imd.kernel.clocks import Clock
from imd.kernel.timeouts import TimeoutError, with_timeout

#: Of a check that fails, so often at most is it logged.
_TELL_EVERY_S = 60.0

_IN_PLACE_OF_A_VERDICT = {
    FailureMode.OPEN: ALLOWED,
    FailureMode.CLOSED: UNAVAILABLE,
    FailureMode.QUARANTINE: Verdict(Action.REVIEW, reason="unavailable"),
}


class Step(NamedTuple):
    """One check of a chain; ``deadline_s`` counts for those that do not answer at once."""

    name: str
    check: ContentCheck
    deadline_s: float
    on_failure: FailureMode


class Chain:
    """See ``ContentCheck``. The first REFUSE or REVIEW ends it; what one check replaced, the next one sees replaced.

    Never fails: where a check gives no verdict, its failure mode does.

    :param released: hears of each draft that goes through without the verdict of a check, and of which.
    """

    _logger = Logger()

    def __init__(
        self,
        *,
        steps: Sequence[Step],
        clock: Clock,
        released: Callable[[Draft, str], None] = lambda _draft, _check: None,
    ) -> None:
        #: In order; exchanged whole when words or settings change, also while messages are on their way.
        self.steps = tuple(steps)
        self._clock = clock
        self._released = released
        self._told_at_s: dict[str, float] = {}

    @property
    def is_empty(self) -> bool:
        """Whether everything is allowed."""
        return not self.steps

    def check(self, draft: Draft) -> Verdict | Deferred[Verdict]:
        """See ``ContentCheck``."""
        steps = self.steps
        verdict = ALLOWED
        for index, step in enumerate(steps):
            answer = step.check.check(draft)
            if not isinstance(answer, Verdict):
                rest = steps[index + 1 :]
                return Deferred.fromCoroutine(self._go_on(draft, verdict, step, answer, rest))
            draft, verdict = _both(draft, verdict, answer)
            if verdict.action > Action.REPLACE:
                break
        return verdict

    async def _go_on(
        self, draft: Draft, verdict: Verdict, step: Step, answer: Deferred[Verdict], rest: Sequence[Step]
    ) -> Verdict:
        draft, verdict = _both(draft, verdict, await self._in_time(step, draft, answer))
        for following in rest:
            if verdict.action > Action.REPLACE:
                break
            next_answer = following.check.check(draft)
            if not isinstance(next_answer, Verdict):
                next_answer = await self._in_time(following, draft, next_answer)
            draft, verdict = _both(draft, verdict, next_answer)
        return verdict

    async def _in_time(self, step: Step, draft: Draft, answer: Deferred[Verdict]) -> Verdict:
        try:
            return await with_timeout(answer, timeout_s=step.deadline_s, clock=self._clock)
        except TimeoutError:
            reason = f"no verdict within {step.deadline_s:g} s"
        except NoVerdict as error:
            reason = str(error)
        except CancelledError:
            raise
        except Exception as error:
            self._logger.failure("the check {name} broke its contract", name=step.name)
            reason = repr(error)
        self._tell(step, reason)
        if step.on_failure is FailureMode.OPEN:
            self._released(draft, step.name)
        return _IN_PLACE_OF_A_VERDICT[step.on_failure]

    def _tell(self, step: Step, reason: str) -> None:
        now_s = self._clock.seconds()
        if now_s - self._told_at_s.get(step.name, -_TELL_EVERY_S) >= _TELL_EVERY_S:
            self._told_at_s[step.name] = now_s
            self._logger.error(
                "content goes {mode} past {name}: {reason}; told once a minute",
                mode=step.on_failure.value,
                name=step.name,
                reason=reason,
            )


def _both(draft: Draft, before: Verdict, verdict: Verdict) -> tuple[Draft, Verdict]:
    """The draft as it goes on, and the verdict so far."""
    if verdict.action is Action.ALLOW:
        return draft, before
    if verdict.action is Action.REPLACE:
        return draft._replace(text=verdict.text), verdict
    # Reviewers see what would be sent.
    return draft, verdict._replace(text=draft.text if before.action is Action.REPLACE else "")
