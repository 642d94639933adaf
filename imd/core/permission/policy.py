"""What is done with a message while the authority is slow or gone: pure rules over the matrix (spec 5.4, 23.1)."""

from __future__ import annotations

from enum import Enum
from zlib import crc32

from imd.core.directory import MANAGED, OFFICIAL, P2P, PUBLIC, Membership
from imd.core.permission.values import (
    ConversationKind,
    Deadlines,
    Decision,
    Gray,
    Level,
    MessageKind,
    PolicyValues,
    Row,
    Throttle,
)

_PERCENT_STEPS = 10_000


class Scene(Enum):
    """By what a deadline goes, and whom a gray switch names."""

    P2P = "p2p"
    ORDINARY = "ordinary"
    MANAGED = "managed"
    #: Public and official groups.
    PUBLIC = "public"
    LARGE = "large"
    #: What the server itself writes, wherever.
    SYSTEM = "system"


def scene_of(known: Membership | None, deadlines: Deadlines) -> Scene:
    """By what was known last; of what is unknown the least is assumed."""
    if known is None or known.kind == P2P:
        return Scene.P2P if known is not None else Scene.ORDINARY
    if len(known.roles) > deadlines.large_members:
        return Scene.LARGE
    if known.group_kind == MANAGED:
        return Scene.MANAGED
    if known.group_kind in (PUBLIC, OFFICIAL):
        return Scene.PUBLIC
    return Scene.ORDINARY


def deadline_s(known: Membership | None, deadlines: Deadlines) -> float:
    """How long a message of this conversation waits for the authority."""
    return {
        Scene.LARGE: deadlines.large_s,
        Scene.MANAGED: deadlines.managed_s,
        Scene.PUBLIC: deadlines.public_s,
    }.get(scene_of(known, deadlines), deadlines.ordinary_s)


def is_sensitive(known: Membership, deadlines: Deadlines) -> bool:
    """Whether nobody is let in here unjudged: by its kind, its size, or since somebody marked it."""
    return known.sensitive or scene_of(known, deadlines) in (Scene.MANAGED, Scene.PUBLIC, Scene.LARGE)


def kind_of(known: Membership, deadlines: Deadlines, *, by_system: bool) -> ConversationKind:
    """Which rows of the matrix are meant."""
    if by_system:
        return ConversationKind.SYSTEM
    if is_sensitive(known, deadlines):
        return ConversationKind.SENSITIVE
    return ConversationKind.P2P if known.kind == P2P else ConversationKind.GROUP


def row_of(values: PolicyValues, known: Membership, message: MessageKind, *, by_system: bool = False) -> Row:
    """The row of the matrix for a message."""
    return values.matrix[kind_of(known, values.deadlines, by_system=by_system), message]


def decision_in(row: Row, level: Level) -> Decision:
    """The cell."""
    return (row.normal, row.degraded, row.timed_out)[level]


def unanswered(row: Row) -> Decision:
    """The cell when the authority was asked and did not answer: RELEASE or REFUSE, nothing else is left to do."""
    return Decision.RELEASE if row.timed_out in (Decision.RELEASE, Decision.CACHE) else Decision.REFUSE


def is_released(gray: Gray, scene: Scene, user_id: int, *, level: int = 0) -> bool:
    """Whether the release is switched on for this user, of this level, there."""
    if scene.value not in gray.scenes:
        return False
    if scene is Scene.SYSTEM:
        return True
    return level >= gray.min_level and share_of(user_id) * 100 < gray.users_percent


def share_of(user_id: int) -> float:
    """Where a user stands between 0 and 1: evenly spread, the same for ever, and on every node."""
    return crc32(b"%d" % user_id) % _PERCENT_STEPS / _PERCENT_STEPS


def rate_of(values: PolicyValues, known: Membership, failed_share: float) -> float:
    """Of its rate, what a conversation gets while so many questions fail."""
    throttle: Throttle = (
        values.sensitive_throttle if is_sensitive(known, values.deadlines) else values.ordinary_throttle
    )
    return throttle.rate if failed_share > throttle.share else 1.0
