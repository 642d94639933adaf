"""Which node archives, and how far it has come: one document for all nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bson

from imd.kernel.clocks import WallClock
from imd.storage.mongo import MongoDatabase

#: For so long no other node does it, unless the one that does it says that it goes on.
CLAIM_MS = 1_800_000
#: So often it says that, and how far it has come.
RENEW_MS = 300_000
#: Now and then everything is looked through: what was the newest message of a conversation once, and had to stay, may
#: not be by now; and ids that are older than a place may come from ``imctl migrate``.
FULL_EVERY_MS = 86_400_000
_JOBS = "imd_jobs"
_JOB = "archive"


class ClaimLost(Exception):
    """Another node has taken over: this one was silent for too long."""


class ArchiveClaim:
    """A claim of this process. ``places`` are the last ids that were looked at, by collection."""

    def __init__(self, *, database: MongoDatabase, wall_clock: WallClock) -> None:
        self._database = database
        self._wall_clock = wall_clock
        self._until = 0
        self._full_ms = 0
        #: Partitions are worked off at the same time, and one renews for all.
        self._renewing = False
        self.places: dict[str, int] = {}

    async def take(self) -> bool:
        """Whether this node is to do it this time; it then goes on where somebody has come to."""
        now_ms = self._wall_clock()
        if not await self._write({"until": {"$lt": now_ms}}, {"until": now_ms + CLAIM_MS}, upsert=True):
            return False
        self._until = now_ms + CLAIM_MS
        (kept,) = await self._database.documents({"find": _JOBS, "filter": {"_id": _JOB}})
        self._full_ms, self.places = int(kept.get("full", 0)), dict(kept.get("places", {}))
        if not 0 <= now_ms - self._full_ms < FULL_EVERY_MS:
            self._full_ms, self.places = now_ms, {}
        return True

    async def renew(self) -> None:
        """If it is time for that.

        :raises ClaimLost: somebody else does it.
        """
        if self._renewing or self._wall_clock() <= self._until - CLAIM_MS + RENEW_MS:
            return
        self._renewing = True
        try:
            await self.keep()
        finally:
            self._renewing = False

    async def keep(self) -> None:
        """Write down how far this node has come, and that it goes on or has just ended."""
        until = self._wall_clock() + CLAIM_MS
        values = {"until": until, "places": self.places, "full": self._full_ms}
        if not await self._write({"until": self._until}, values):
            raise ClaimLost
        self._until = until

    async def _write(
        self, where: Mapping[str, Any], values: Mapping[str, Any], *, upsert: bool = False
    ) -> bool:
        update = {"q": {"_id": _JOB, **where}, "u": {"$set": values}, "upsert": upsert}
        reply = await self._database.write({"update": _JOBS}, section="updates", items=[bson.encode(update)])
        return "writeErrors" not in reply and int(reply["n"]) > 0
