"""One conversation as a node remembers it: how long it is believed, and what of it is left when it is out of date."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from imd.core.directory import P2P, Membership

#: In place of an id: all plain members.
EVERYBODY = 0
#: A mute of which no end is known.
FOREVER_MS = 1 << 62


class Lifetimes(NamedTuple):
    """How long a snapshot is believed (spec 5.3): the bound on staleness when an invalidation is lost."""

    normal_s: float = 300.0
    #: Asked for ``hot_per_min`` times a minute and more: it is not loaded anew in the middle of a talk.
    hot_s: float = 600.0
    sensitive_s: float = 60.0
    hot_per_min: float = 60.0

    def of(self, membership: Membership) -> float:
        """Of one that is not known to be hot."""
        return self.sensitive_s if membership.sensitive else self.normal_s


class Known:
    """What is known of one conversation.

    :ivar until_s: until when it is believed.
    :ivar loaded_s: when it was told.
    """

    __slots__ = (
        "_less",
        "_removed",
        "_restricted",
        "hot_until_s",
        "hot_uses",
        "loaded_s",
        "membership",
        "until_s",
        "uses",
    )

    def __init__(
        self, membership: Membership, *, now_s: float, life_s: float, hot_life_s: float, hot_uses: float
    ) -> None:
        self.membership = membership
        self.loaded_s = now_s
        self.until_s = now_s + life_s
        self.hot_until_s = now_s + hot_life_s
        self.hot_uses = hot_uses
        self.uses = 0
        self._removed: set[int] | None = None
        self._restricted: set[int] | None = None
        self._less: Membership | None = membership

    @property
    def is_outdated(self) -> bool:
        """Whether it is known to be out of date, not only old."""
        return self.hot_until_s == float("-inf")

    def lives_on(self, now_s: float) -> bool:
        """Whether it is believed beyond its time, since so many ask for it."""
        if self.hot_until_s <= now_s or self.uses < self.hot_uses:
            return False
        self.until_s = self.hot_until_s
        return True

    def expire(self, now_s: float) -> None:
        """It may be true still, and is not believed without being asked about."""
        self.until_s = min(self.until_s, now_s)
        self.hot_until_s = min(self.hot_until_s, now_s)

    def outdate(self, removed_ids: Iterable[int], restricted_ids: Iterable[int]) -> None:
        """It is not believed any more; these are out, and those may do less."""
        self.until_s = self.hot_until_s = float("-inf")
        for user_id in removed_ids:
            self._removed = self._removed or set()
            self._removed.add(user_id)
            self._less = None
        for user_id in restricted_ids:
            self._restricted = self._restricted or set()
            self._restricted.add(user_id)
            self._less = None

    def at_worst(self) -> Membership:
        """What it was, less those of whom it is known that they are out or may not write."""
        if self._less is None:
            self._less = self._without()
        return self._less

    def _without(self) -> Membership:
        known = self.membership
        removed, restricted = self._removed or (), self._restricted or ()
        all_muted_until_ms = FOREVER_MS if EVERYBODY in restricted else known.all_muted_until_ms
        roles = {user_id: role for user_id, role in known.roles.items() if user_id not in removed}
        if known.kind == P2P:
            refused = {**known.refused, **dict.fromkeys(restricted, "not_accepted")}
            return known._replace(roles=roles, refused=refused)
        return known._replace(
            roles=roles,
            all_muted_until_ms=all_muted_until_ms,
            muted_until_ms={**known.muted_until_ms, **dict.fromkeys(restricted, FOREVER_MS)},
        )
