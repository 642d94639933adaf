"""What presence speaks about: plain records."""

from __future__ import annotations

from typing import NamedTuple


class Device(NamedTuple):
    """One session of a user, as others see it."""

    platform: str
    since_ms: int


class PresenceState(NamedTuple):
    """A user now. ``last_seen_ms`` is 0 while online, and for who was never seen or may not be."""

    user_id: int
    online: bool = False
    devices: tuple[Device, ...] = ()
    last_seen_ms: int = 0

    def looks_like(self, other: PresenceState) -> bool:
        """Whether a watcher who knows the other learns nothing from this one; a reconnect is no news."""
        return (self.online, self.last_seen_ms, sorted(device.platform for device in self.devices)) == (
            other.online,
            other.last_seen_ms,
            sorted(device.platform for device in other.devices),
        )
