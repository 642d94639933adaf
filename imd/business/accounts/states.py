"""What an account may be, and who makes it so.

Operators freeze an account and thaw it; its user deletes it. Frozen and deleted ones end all their logins at once, and
nobody writes to them. A deleted one never comes back, and its handle is never given to anybody else: what was
said to the old one must not reach a new one.
"""

from __future__ import annotations

from enum import IntEnum

from imd.business.accounts.model import ACTIVE, DELETED, FROZEN
from imd.kernel.errors import Forbidden

REASON_MAX_LENGTH = 200


class Act(IntEnum):
    """What is done to an account."""

    FREEZE = 1
    THAW = 2
    DELETE = 3


#: What is not here is refused. Doing again what was done is no mistake.
STEPS: dict[tuple[int, Act], int] = {
    (ACTIVE, Act.FREEZE): FROZEN,
    (ACTIVE, Act.THAW): ACTIVE,
    (ACTIVE, Act.DELETE): DELETED,
    (FROZEN, Act.FREEZE): FROZEN,
    (FROZEN, Act.THAW): ACTIVE,
}

NAMES = {ACTIVE: "active", FROZEN: "frozen", DELETED: "deleted"}


def after(status: int, act: Act) -> int:
    """The state after an act."""
    new = STEPS.get((status, act))
    if new is None:
        raise Forbidden(f"this account is {NAMES[status]}", reason=NAMES[status])
    return new
