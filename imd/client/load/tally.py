"""What was promised and what was seen: the counting that decides whether a run was correct.

Every device keeps a map of the seqs it holds in each of its conversations; every ACK STORED is
kept by its sender. At the end both are laid over each other.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Final

from imd.client.load.frames import FOREIGN

_FIRST_CAPACITY: Final = 1024
#: How a device came to hold a seq: it was delivered, its own send was ACKed with it, or it was
#: pulled from history (and may still come pushed, once). The lowest bit is set in all of them.
SEEN: Final = 1
OWN: Final = 3
PULLED: Final = 5
#: One bucket of a latency histogram, and how many; what is slower lands in the last.
BUCKET_NS: Final = 50_000
_BUCKETS: Final = 1_200_000


class Counts:
    """Plain numbers of one process, added up by the parent."""

    __slots__ = (
        "acked_twice",
        "connected",
        "delivered",
        "duplicated",
        "errors",
        "foreign",
        "gaps",
        "hints",
        "overlapping",
        "pulled",
        "pushed_again",
        "pushed_late",
        "refused",
        "reordered",
        "resyncs",
        "retried",
        "sent",
        "stored",
        "told_to_leave",
        "waited_for",
    )

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    connected: int
    sent: int
    stored: int
    #: Messages a device got to hold, pushed or pulled, each (device, message) once.
    delivered: int
    #: Those of ``delivered`` that came by history instead of being pushed.
    pulled: int
    duplicated: int
    reordered: int
    #: Those of ``duplicated`` and of ``reordered`` that a client drops, or puts in their place, by their seq:
    #: pushed twice, and pushed after a later one. Only where nodes fail may there be any.
    pushed_again: int
    pushed_late: int
    #: Sends answered with FAILED: for good, and to be tried again.
    refused: int
    retried: int
    #: Second ACKs of the same send with the same seq: legitimate after a resend.
    acked_twice: int
    #: A message that came pushed and pulled during a resync; a client drops one by its seq.
    overlapping: int
    #: Messages in the same conversations that this run did not send.
    foreign: int
    #: Holes before what was pushed that lasted, and were pulled.
    gaps: int
    hints: int
    resyncs: int
    errors: int
    #: Reconnect frames: the node is going down.
    told_to_leave: int
    waited_for: int

    def as_dict(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__slots__}


class Latencies:
    """A histogram with buckets of 50 us, up to a minute."""

    __slots__ = ("_buckets", "max_ns")

    def __init__(self) -> None:
        self._buckets: array[int] = array("I", bytes(array("I").itemsize * _BUCKETS))
        self.max_ns = 0

    def add(self, waited_ns: int) -> None:
        if waited_ns > self.max_ns:
            self.max_ns = waited_ns
        try:
            self._buckets[waited_ns // BUCKET_NS] += 1
        except IndexError:
            self._buckets[_BUCKETS - 1] += 1

    def pairs(self) -> list[tuple[int, int]]:
        """(bucket, count) of what is not empty."""
        return [(index, count) for index, count in enumerate(self._buckets) if count]


def percentile_ms(pairs: Iterable[tuple[int, int]], share: float) -> float | None:
    """The upper edge of the bucket that holds the ``share`` quantile."""
    merged: dict[int, int] = {}
    for bucket, count in pairs:
        merged[bucket] = merged.get(bucket, 0) + count
    total = sum(merged.values())
    if not total:
        return None
    left = share * total
    for bucket in sorted(merged):
        left -= merged[bucket]
        if left <= 0:
            break
    return (bucket + 1) * BUCKET_NS / 1e6


class Inbox:
    """What one device holds of one conversation.

    Live messages must come in rising seq, each once. While ``pulling`` (after a reconnect, a
    Resync or a Hint) live ones are held back until history has filled the gap before them.
    """

    __slots__ = (
        "_acked",
        "_gap_after",
        "_prefix",
        "conversation_id",
        "held",
        "high",
        "own_high",
        "pulling",
        "seen",
        "target",
    )

    def __init__(self, conversation_id: str) -> None:
        self.conversation_id = conversation_id
        self.seen = bytearray(_FIRST_CAPACITY)
        self.seen[0] = OWN
        #: The highest seq that was delivered.
        self.high = 0
        #: The highest seq of the device's own.
        self.own_high = 0
        self.pulling = False
        #: The conversation's newest seq, as far as the server told while pulling.
        self.target = 0
        self.held: list[tuple[int, int, int]] = []
        self._prefix = 1
        self._acked = 0
        self._gap_after = -1

    def skip_to(self, seq: int) -> None:
        """Take everything up to ``seq`` as held: it was there before the run."""
        self.grow(seq)
        self.seen[: seq + 1] = bytes((OWN,)) * (seq + 1)
        self.high = max(self.high, seq)

    def grow(self, seq: int) -> None:
        """Make room for ``seq``."""
        if seq >= len(self.seen):
            self.seen.extend(bytes(max(len(self.seen), seq + 1 - len(self.seen))))

    def own(self, seq: int) -> None:
        """The device's own send was stored as ``seq``."""
        if seq >= len(self.seen):
            self.grow(seq)
        if not self.seen[seq]:
            self.seen[seq] = OWN
        if seq > self.own_high:
            self.own_high = seq

    def gap_lasts(self) -> bool:
        """Whether the same seq was missing at the last call, though later ones are here.

        ACKs and deliveries may overtake each other, so a gap may close by itself.
        """
        before, self._gap_after = self._gap_after, -1
        last = self.contiguous()
        if last < max(self.high, self.own_high):
            self._gap_after = last
        return before == self._gap_after != -1

    def contiguous(self) -> int:
        """The seq up to which nothing is missing: the cursor a client sends."""
        first_missing = self.seen.find(0, self._prefix)
        self._prefix = len(self.seen) if first_missing < 0 else first_missing
        return self._prefix - 1

    def to_acknowledge(self) -> int:
        """The cursor if it has moved since the last call, else 0."""
        cursor = self.contiguous()
        if cursor == self._acked:
            return 0
        self._acked = cursor
        return cursor


class Ledger:
    """Which message stands at which seq of a conversation, as the devices of this process saw it."""

    __slots__ = ("conflicts", "identities")

    def __init__(self) -> None:
        self.identities: dict[str, array[int]] = {}
        #: How often a message was seen under a seq at which another one was seen, by whichever device.
        self.conflicts = 0

    def note(self, conversation_id: str, seq: int, who: int) -> None:
        """A device saw message ``who`` at ``seq``."""
        known = self.identities.get(conversation_id)
        if known is None:
            known = self.identities[conversation_id] = array("q", bytes(8 * _FIRST_CAPACITY))
        try:
            before = known[seq]
        except IndexError:
            known.extend(bytes_of_zeros(max(len(known), seq + 1 - len(known))))
            before = 0
        if before == 0:
            known[seq] = who
        elif before != who:
            self.conflicts += 1

    def at(self, conversation_id: str, seq: int) -> int:
        """The identity at ``seq``, 0 when nobody here saw it."""
        known = self.identities.get(conversation_id)
        return known[seq] if known is not None and seq < len(known) else 0

    def doubled(self) -> int:
        """How many messages stand under more than one seq of their conversation."""
        extra = 0
        for known in self.identities.values():
            ours = [who for who in known if who not in (0, FOREIGN)]
            extra += len(ours) - len(set(ours))
        return extra


def bytes_of_zeros(count: int) -> array[int]:
    return array("q", bytes(8 * count))


class Expected:
    """The seqs of one conversation that were ACKed STORED."""

    __slots__ = ("_held", "clashes", "count")

    def __init__(self) -> None:
        self._held = bytearray(_FIRST_CAPACITY)
        self.count = 0
        #: Messages ACKed with a seq that another message was ACKed with: one of both is lost.
        self.clashes = 0

    def add(self, seqs: Iterable[int]) -> None:
        for seq in seqs:
            if seq >= len(self._held):
                self._held.extend(bytes(max(len(self._held), seq + 1 - len(self._held))))
            if self._held[seq]:
                self.clashes += 1
            else:
                self._held[seq] = 1
                self.count += 1

    def missing(self, inbox: Inbox) -> int:
        """How many of them a device does not hold."""
        stored = int.from_bytes(self._held, "little")
        return (stored & ~int.from_bytes(inbox.seen, "little")).bit_count()
