"""One question for all who ask the same at the same time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SharedQuestions(Generic[K, V]):
    """Whoever asks while the same is being asked gets the same answer, or the same error."""

    def __init__(self) -> None:
        self._waiting: dict[K, list[Deferred[V]]] = {}

    async def ask(self, key: K, question: Callable[[], Coroutine[Deferred[Any], Any, V]]) -> V:
        """``question``'s answer; it is put only if nobody is asking for ``key`` now."""
        waiting = self._waiting.get(key)
        if waiting is not None:
            mine: Deferred[V] = Deferred()
            waiting.append(mine)
            return await mine
        self._waiting[key] = waiting = []
        try:
            answer = await question()
        except BaseException as error:
            del self._waiting[key]
            for waiter in waiting:
                waiter.errback(error)
            raise
        del self._waiting[key]
        for waiter in waiting:
            waiter.callback(answer)
        return answer
