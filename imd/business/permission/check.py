"""Use case: may these users do this, by what is true now? Many at a time, and what is asked meanwhile in one read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from twisted.internet.defer import Deferred

from imd.business.permission.model import Facts, refusal
from imd.business.permission.ports import Standings
from imd.kernel.clocks import WallClock
from imd.kernel.errors import ImError
from imd.kernel.tasks import Tasks

#: (Conversation, user) pairs in one read.
BATCH = 512

#: What is waited for; a failure is a value here, for some may wait for several and hear the first only.
_Found = Facts | None | Exception


class Verdict(NamedTuple):
    """What was found; ``version`` is the conversation's, 0 where there is nothing to see."""

    refusal: ImError | None
    version: int


class CheckRights:
    """One read is under way at a time; it begins after it was asked, so it knows all that was committed by then."""

    def __init__(self, *, standings: Standings, wall_clock: WallClock, tasks: Tasks) -> None:
        self._standings = standings
        self._wall_clock = wall_clock
        self._tasks = tasks
        self._waiting: dict[tuple[str, int], list[Deferred[_Found]]] = {}
        self._reading = False

    async def __call__(self, checks: Sequence[tuple[str, int, int]]) -> list[Verdict]:
        """A verdict for each (conversation, user, right), in this order.

        :raises ServerBusy: the facts cannot be read now.
        """
        answers = [self._ask(conversation_id, user_id) for conversation_id, user_id, _ in checks]
        if self._waiting and not self._reading:
            self._reading = True
            self._tasks.spawn("read what decides", self._read())
        verdicts: list[Verdict] = []
        for (_, _, right), answer in zip(checks, answers, strict=True):
            found = await answer
            if isinstance(found, Exception):
                raise found
            verdicts.append(
                Verdict(refusal(found, right, self._wall_clock()), 0 if found is None else found.version)
            )
        return verdicts

    def _ask(self, conversation_id: str, user_id: int) -> Deferred[_Found]:
        answer: Deferred[_Found] = Deferred()
        self._waiting.setdefault((conversation_id, user_id), []).append(answer)
        return answer

    async def _read(self) -> None:
        try:
            while self._waiting:
                pairs = list(self._waiting)[:BATCH]
                waiting = [self._waiting.pop(pair) for pair in pairs]
                found: Sequence[_Found]
                try:
                    found = await self._standings.facts(pairs)
                except Exception as error:
                    found = [error] * len(pairs)
                for answers, one in zip(waiting, found, strict=True):
                    for answer in answers:
                        answer.callback(one)
        finally:
            self._reading = False
