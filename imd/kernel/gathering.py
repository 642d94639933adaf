"""Questions that are cheaper together: while some are being answered, the next gather."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred

#: Reads under way at a time; more of them would be smaller ones.
_LANES = 2

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Gathering(Generic[K, V]):
    """Whoever asks is answered by a read that begins afterwards, with whoever else asked by then.

    :param read: what there is of these keys; what is left out does not exist.
    :param crowd: so many keys waiting begin a second read beside the first: one that hangs does not hold all up.
    :param most: keys in one read.
    """

    def __init__(
        self,
        read: Callable[[Sequence[K]], Coroutine[Deferred[Any], Any, Mapping[K, V]]],
        *,
        crowd: int = 20,
        most: int = 200,
    ) -> None:
        self._read = read
        self._crowd = crowd
        self._most = most
        self._reading = 0
        self._waiting: dict[K, list[Deferred[V | None]]] = {}

    async def ask(self, key: K) -> V | None:
        """What there is; None if nothing. Raises what the read raises."""
        answer: Deferred[V | None] = Deferred()
        self._waiting.setdefault(key, []).append(answer)
        if not self._reading or (self._reading < _LANES and len(self._waiting) >= self._crowd):
            self._reading += 1
            # On its own, so that a caller who gives up does not take the others along.
            Deferred.fromCoroutine(self._run())
        return await answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                keys = list(self._waiting)[: self._most]
                waiting = {key: self._waiting.pop(key) for key in keys}
                try:
                    found = await self._read(keys)
                except Exception as error:
                    for answers in waiting.values():
                        for answer in answers:
                            answer.errback(error)
                else:
                    for key, answers in waiting.items():
                        for answer in answers:
                            answer.callback(found.get(key))
        finally:
            self._reading -= 1
