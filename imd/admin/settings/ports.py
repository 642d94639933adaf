"""What publishing settings stands on."""

from __future__ import annotations

from typing import Protocol

from imd.admin.settings.model import Settings


class SettingsStore(Protocol):
    """All versions ever saved. Every method raises ``ServerBusy`` when the store cannot be used, and
    ``save`` also ``OutcomeUnknown``: ask for the current version then.
    """

    async def current(self) -> Settings:
        """The newest; ``NONE`` if there is none."""
        ...

    async def save(self, settings: Settings) -> bool:
        """Whether it is the newest now; False: somebody else took this version, or it does not follow the last."""
        ...
