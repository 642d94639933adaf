"""What publishing settings stands on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from imd.admin.settings.model import Settings


class SettingsStore(Protocol):
    """All versions ever saved. Every method raises ``ServerBusy`` when the store cannot be used, and
    ``save`` also ``OutcomeUnknown``: ask for the current version then.
    """

    async def current(self) -> Settings:
        """The newest; ``NONE`` if there is none."""
        ...

    async def version(self, version: int) -> Settings | None:
        """One of them; None: there is no such."""
        ...

    async def history(self, *, before: int, limit: int) -> Sequence[Settings]:
        """The newest first, all below ``before``; 0: from the newest on."""
        ...

    async def save(self, settings: Settings, *, based_on: int) -> bool:
        """Whether it is the newest now; False: ``based_on`` is not the newest any more, or it is not above that."""
        ...
