"""When people were last seen, into Redis, where im-core keeps it: a convenience, so nothing depends on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from imd.config.engines import Redis
from imd.core.presence.redis import SLOTS
from imd.ctl.migrate.rows import LastSeenRow
from imd.ctl.migrate.source import Folder
from imd.ctl.progress import Progress
from imd.ctl.redis_line import RedisLine, open_redis
from imd.storage.redis import spread

#: Commands sent before their answers are read.
BATCH_ROWS = 1000
_PREFIX = "core:seen:"


@contextmanager
def open_last_seen(redis: Redis) -> Iterator[LastSeenCopy]:
    """The Redis that [redis] names, logged in.

    :raises CommandFailed: it cannot be used.
    """
    with open_redis(redis) as line:
        yield LastSeenCopy(line)


class LastSeenCopy:
    """One move of it, and its check."""

    def __init__(self, line: RedisLine) -> None:
        self._line = line

    def copy(self, folder: Folder, progress: Progress) -> None:
        """All; written twice it is the same."""
        progress.begin("last seen", folder.counts()["last_seen"])
        for rows in _pages(folder):
            self._line.ask([("HSET", _key(row), row.user_id, row.seen_ms) for row in rows])
            progress.advance(len(rows))
        progress.end()

    def verdict(self, folder: Folder) -> str:
        """How many arrived. Redis may forget them, and goes on writing them, so this proves nothing."""
        count = there = 0
        for rows in _pages(folder):
            count += len(rows)
            answers = self._line.ask([("HGET", _key(row), row.user_id) for row in rows])
            there += sum(
                isinstance(answer, bytes) and int(answer) >= row.seen_ms
                for answer, row in zip(answers, rows, strict=True)
            )
        return f"last seen: {there:,} of {count:,} in Redis" + (
            "" if there == count else " (only a convenience)"
        )


def _key(row: LastSeenRow) -> str:
    return f"{_PREFIX}{spread(row.user_id, SLOTS)}"


def _pages(folder: Folder) -> Iterator[list[LastSeenRow]]:
    last = 0
    while rows := folder.last_seen_after(last, BATCH_ROWS):
        yield rows
        last = rows[-1].user_id
