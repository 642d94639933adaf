"""Two sorted streams of rows, held against each other: a pure walk, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from imd.ctl.migrate.rows import Digest, Row

#: Differences that are shown; the rest is counted.
MAX_SHOWN = 20


class Difference(NamedTuple):
    """What is wrong with one row."""

    what: str
    key: Row
    wrong: str

    def __str__(self) -> str:
        return f"{self.what} {'/'.join(map(str, self.key))}: {self.wrong}"


class Verdict(NamedTuple):
    """How a table or collection compares."""

    what: str
    source: Digest
    target: Digest
    difference_count: int
    #: The first ``MAX_SHOWN``.
    differences: list[Difference]
    #: What is said if there is none.
    said: str = ""

    def __str__(self) -> str:
        if not self.difference_count:
            return self.said or f"{self.what}: {self.source.count:,} on both sides, checksum {self.source}"
        if not self.source.count and not self.target.count:
            return f"{self.what}: {self.difference_count:,} WRONG"
        return (
            f"{self.what}: {self.difference_count:,} DIFFERENCES; source {self.source.count:,} ({self.source}), "
            f"target {self.target.count:,} ({self.target})"
        )


def compare(
    what: str,
    source: Iterable[Row],
    target: Iterable[Row],
    *,
    key: int,
    columns: tuple[str, ...],
    one: str = "",
) -> Verdict:
    """Every row of both, in one walk.

    :param source: and ``target`` are sorted by their first ``key`` columns, each key once.
    :param columns: what the parts of a row are called.
    :param one: what a single row is called.
    """
    ours, theirs = Digest(), Digest()
    shown: list[Difference] = []
    count = 0
    for left, right in _pairs(_counted(source, ours), _counted(target, theirs), key):
        wrong = _wrong(left, right, columns)
        if wrong:
            count += 1
            if len(shown) < MAX_SHOWN:
                some = left if left is not None else right
                assert some is not None
                shown.append(Difference(one or what, some[:key], wrong))
    return Verdict(what, ours, theirs, count, shown)


class Sequences:
    """Looks on while (conversation, seq, ...) pass in this order: is it 1, 2, 3, ... in each conversation?"""

    def __init__(self) -> None:
        self._conversations = 0
        self._count = 0
        self._holes: list[Difference] = []

    def watch(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The same rows."""
        conversation: object = None
        last = 0
        for row in rows:
            conversation_id, seq = row[0], row[1]
            assert isinstance(seq, int)
            if conversation_id != conversation:
                conversation, last = conversation_id, 0
                self._conversations += 1
            if seq != last + 1:
                self._count += 1
                if len(self._holes) < MAX_SHOWN:
                    wrong = f"the target has {seq} behind {last}"
                    self._holes.append(Difference("sequence", (conversation_id, last + 1), wrong))
            last = seq
            yield row

    def verdict(self) -> Verdict:
        """On what has passed."""
        said = f"sequences: {self._conversations:,} conversations, each 1, 2, 3, ... to its end"
        return Verdict("sequences", Digest(), Digest(), self._count, self._holes, said)


def _counted(rows: Iterable[Row], digest: Digest) -> Iterator[Row]:
    for row in rows:
        digest.add(row)
        yield row


def _pairs(source: Iterator[Row], target: Iterator[Row], key: int) -> Iterator[tuple[Row | None, Row | None]]:
    left, right = next(source, None), next(target, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left[:key] < right[:key]):
            yield left, None
            left = next(source, None)
        elif left is None or right[:key] < left[:key]:
            yield None, right
            right = next(target, None)
        else:
            yield left, right
            left, right = next(source, None), next(target, None)


def _wrong(left: Row | None, right: Row | None, columns: tuple[str, ...]) -> str:
    if left is None:
        return "is only in the target"
    if right is None:
        return "is missing in the target"
    if left == right:
        return ""
    names = [name for name, ours, theirs in zip(columns, left, right, strict=True) if ours != theirs]
    return f"differs in {', '.join(names)}"
