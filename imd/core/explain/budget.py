"""So that no user wipes what is remembered of all others: what one causes too often is counted, not kept singly."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from imd.kernel.clocks import Clock, WallClock
from imd.kernel.token_bucket import TokenBucket

#: Records of one user at once, and how many more an hour: 1,540 a day, which is half of a hundredth of what fits into
#: the ring of sends on a disk.
BURST = 100
PER_HOUR = 60
#: What is too much is told once in this time, with a count; of what is kept seldom, one in this time is kept.
SUM_INTERVAL_S = 60.0
#: About 350 bytes each. Above, who caused nothing for the longest begins anew: one who floods is never that.
MAX_USERS = 10_000


@dataclass(slots=True)
class Sum:
    """So many records of a user that are not kept, and the last of them."""

    user_id: int
    since_ms: int
    due_s: float
    count: int = 0
    code: int = 0
    text: bytes = b""


class _User:
    __slots__ = ("bucket", "seldom_from_s")

    def __init__(self, now_s: float) -> None:
        self.bucket = TokenBucket(rate_per_s=PER_HOUR / 3600, burst=BURST, now_s=now_s)
        self.seldom_from_s = now_s


class Budget:
    """Of one ring."""

    def __init__(self, *, clock: Clock, wall_clock: WallClock) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._users: OrderedDict[int, _User] = OrderedDict()
        # By when they began.
        self._sums: dict[int, Sum] = {}
        #: Records that were counted instead of being kept.
        self.counted = 0

    def keeps(self, user_id: int, *, code: int = 0, text: bytes = b"", seldom: bool = False) -> bool:
        """Whether a record of this user is kept; if not, it is counted here.

        :param seldom: of such records one is kept in ``SUM_INTERVAL_S``.
        """
        now_s = self._clock.seconds()
        user = self._users.get(user_id)
        if user is None:
            user = self._users[user_id] = _User(now_s)
            if len(self._users) > MAX_USERS:
                self._users.popitem(last=False)
        else:
            self._users.move_to_end(user_id)
        if not (seldom and now_s < user.seldom_from_s) and user.bucket.take(now_s):
            if seldom:
                user.seldom_from_s = now_s + SUM_INTERVAL_S
            return True
        self._count(user_id, code, text, now_s)
        return False

    def _count(self, user_id: int, code: int, text: bytes, now_s: float) -> None:
        self.counted += 1
        known = self._sums.get(user_id)
        if known is None:
            known = self._sums[user_id] = Sum(user_id, self._wall_clock(), now_s + SUM_INTERVAL_S)
        known.count += 1
        known.code, known.text = code, text

    def of_user(self, user_id: int) -> Sum | None:
        """What was counted and not taken yet."""
        return self._sums.get(user_id)

    def take_due(self, *, all_of_them: bool = False) -> Iterator[Sum]:
        """Those to be told, each once. There are never more than ``MAX_USERS`` afterwards."""
        now_s = self._clock.seconds()
        for user_id, known in list(self._sums.items()):
            if not all_of_them and now_s < known.due_s and len(self._sums) <= MAX_USERS:
                return
            del self._sums[user_id]
            yield known
