"""What managing operators stands on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from imd.ops.operators import Operator, Role


class Listed(NamedTuple):
    """An operator as kept; the token is not."""

    operator: Operator
    created_at_ms: int
    created_by: str
    #: 0: the token is good.
    revoked_at_ms: int
    revoked_by: str


class OperatorStore(Protocol):
    """All operators ever made. Every method raises ``ServerBusy`` when the store cannot be used, writes also
    ``OutcomeUnknown``: list them then.
    """

    async def find(self, token_hash: bytes) -> Operator | None:
        """Whose token has this hash; None: nobody's, or it was revoked."""
        ...

    async def add(self, name: str, role: Role, token_hash: bytes, *, by: str, now_ms: int) -> Listed | None:
        """None: somebody has this name and was not revoked."""
        ...

    async def all(self) -> Sequence[Listed]:
        """In the order in which they were made, the revoked ones too."""
        ...

    async def revoke(self, operator_id: int, *, by: str, now_ms: int) -> Listed | None:
        """From now on the token is nobody's; one that was revoked before stays as it is. None: there is no such."""
        ...
