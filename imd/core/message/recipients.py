"""The people at this node, as the message pipeline sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from imd.wire.outbound import Outbound


class Recipient(Protocol):
    """One live session. ``push`` never fails and never waits; a session that cannot keep up deals with it."""

    @property
    def user_id(self) -> int: ...

    @property
    def device_id(self) -> str: ...

    def push(self, outbound: Outbound) -> None: ...


class LocalSessions(Protocol):
    """Who is connected here."""

    def of_user(self, user_id: int) -> Sequence[Recipient]:
        """The live sessions of a user, maybe none."""
        ...
