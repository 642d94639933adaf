"""Who has a gray release: an arithmetic that every node does alike, without asking anybody."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

#: Of settings that some users have and others have not; what is not here concerns conversations or whole nodes.
BY_USER = frozenset(
    {
        "limits.user_text_per_min",
        "limits.user_media_per_min",
        "limits.user_burst",
        "limits.device_frames_per_s",
    }
)
#: Parts of the whole that a percentage is cut into: hundredths of a percent.
_PARTS = 10_000


class Target(NamedTuple):
    """Whom a release is for; see ``GrayRelease`` of the bus.

    :param release_id: draws the percentage: other releases fall on other users, and the same one always on the
        same, however the percentage grows.
    """

    release_id: int
    percent: float = 0.0
    user_ids: frozenset[int] = frozenset()
    zones: frozenset[str] = frozenset()
    client_versions: tuple[str, ...] = ()

    @property
    def is_by_user(self) -> bool:
        """Whether users of one node may differ."""
        return bool(self.percent or self.user_ids or self.client_versions)

    def is_in_zone(self, zone: str) -> bool:
        """Whether nodes of this zone take part."""
        return not self.zones or zone in self.zones

    def has(self, user_id: int, client_versions: Iterable[str]) -> bool:
        """Whether this user takes part, who is here with clients of these versions.

        One client is enough: a user has one rate over all devices.
        """
        if self.client_versions and not any(map(self._is_meant, client_versions)):
            return False
        if not (self.percent or self.user_ids):
            return True
        return user_id in self.user_ids or self._part(user_id) < self.percent * _PARTS / 100

    def _is_meant(self, client_version: str) -> bool:
        return any(
            client_version.startswith(wanted[:-1]) if wanted.endswith("*") else client_version == wanted
            for wanted in self.client_versions
        )

    def _part(self, user_id: int) -> int:
        # Not Python's hash(): every process has to come to the same.
        digest = blake2b(b"%d:%d" % (self.release_id, user_id), digest_size=8).digest()
        return int.from_bytes(digest) % _PARTS
