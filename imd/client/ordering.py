"""One conversation in order: apply the contiguous prefix, keep what came early, know what is missing."""

from __future__ import annotations

from imd.pb.message_pb2 import Message

#: Messages kept that came before their turn. More are dropped and pulled again later.
MAX_EARLY = 200


class ConversationOrder:
    """``applied`` is the last seq of the contiguous prefix, ``newest`` the highest seq heard of."""

    __slots__ = ("_early", "applied", "newest")

    def __init__(self, applied: int) -> None:
        self.applied = applied
        self.newest = applied
        self._early: dict[int, Message] | None = None

    def heard_of(self, seq: int) -> None:
        """The server has something at ``seq``."""
        if seq > self.newest:
            self.newest = seq

    def offer(self, message: Message) -> list[Message]:
        """A message came, from wherever: those whose turn it is now, each exactly once."""
        seq = message.seq
        if seq > self.newest:
            self.newest = seq
        if seq <= self.applied:
            return []
        if seq > self.applied + 1:
            self._keep(message)
            return []
        self.applied = seq
        return [message, *self._follow()]

    def skip_to(self, seq: int) -> list[Message]:
        """The server holds nothing up to and with ``seq`` any more: go on behind it."""
        if seq > self.applied:
            self.applied = seq
            self.heard_of(seq)
        if self._early is not None:
            for early in [early for early in self._early if early <= self.applied]:
                del self._early[early]
        return self._follow()

    def give_up(self) -> None:
        """Nobody will fill the gap (no longer a member): forget what is behind it."""
        self.newest = self.applied
        self._early = None

    @property
    def behind(self) -> bool:
        """Whether something is known that has not been applied."""
        return self.newest > self.applied

    @property
    def missing(self) -> tuple[int, int]:
        """First and last seq of the first gap; only meaningful while ``behind``."""
        last = min(self._early) - 1 if self._early else self.newest
        return self.applied + 1, last

    def _follow(self) -> list[Message]:
        early = self._early
        if not early:
            return []
        turn: list[Message] = []
        while (message := early.pop(self.applied + 1, None)) is not None:
            self.applied += 1
            turn.append(message)
        if not early:
            self._early = None
        return turn

    def _keep(self, message: Message) -> None:
        if self._early is None:
            self._early = {}
        early = self._early
        early[message.seq] = message
        if len(early) > MAX_EARLY:
            # The farthest ones are needed last.
            del early[max(early)]
