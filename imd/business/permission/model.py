"""Who may do what in a conversation: what is read of it, and the rule that judges by that.

The rule is the same as core's (``imd.core.permission.decide``), which goes by the snapshots that are made here; a test
holds the two to each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from imd.business.groups.model import MEMBER
from imd.business.permission.rights import Right
from imd.kernel.errors import Forbidden

#: Of the rules here and in ``rights``, for the record: rises when the same facts are judged otherwise.
POLICY_VERSION = 1

#: What a mute silences, and what reaches somebody who does not want to hear.
SPEECH = Right.MESSAGE | Right.MEDIA
#: A mute that lasts longer has no end that a client could wait for.
MAX_WAIT_MS = 30 * 24 * 3600 * 1000


class Special(NamedTuple):
    """A member for whom something is different from the rest."""

    user_id: int
    role: int
    muted_until_ms: int
    visible_from: int
    refused: str = ""


class Snapshot(NamedTuple):
    """Everybody in a conversation, and the rules there."""

    kind: int
    version: int
    title: str
    #: Of MEMBER, ADMIN and OWNER.
    rights: tuple[int, int, int]
    #: Ordinary members: of the lowest role, and nothing is different for them.
    member_ids: Sequence[int]
    specials: Sequence[Special] = ()
    #: 0: it is no group.
    group_kind: int = 0
    sensitive: bool = False
    all_muted_until_ms: int = 0


class Facts(NamedTuple):
    """All that decides what one user may do in one conversation."""

    version: int
    role: int
    rights: int
    muted_until_ms: int = 0
    all_muted_until_ms: int = 0
    refused: str = ""


class Restricted(NamedTuple):
    """Somebody who may, or might, do less in a conversation than others."""

    conversation_id: str
    user_id: int


class Page(NamedTuple):
    """Of all who are restricted somewhere; ``next`` empty: that was all."""

    restricted: Sequence[Restricted]
    next: str


def refusal(facts: Facts | None, right: int, now_ms: int) -> Forbidden | None:
    """Why the user may not; None: they may.

    :param facts: None: they are not in the conversation, or there is none.
    :param right: the bits that are needed, all of them; 0 asks for being a member and nothing else.
    """
    if facts is None:
        return not_member()
    if facts.rights & right != right:
        return Forbidden("your role may not do this here", reason="no_right")
    if not right & SPEECH:
        return None
    if facts.muted_until_ms > now_ms:
        return _until("you are muted here", "muted", facts.muted_until_ms - now_ms)
    if facts.role == MEMBER and facts.all_muted_until_ms > now_ms:
        return _until("only admins may write here now", "all_muted", facts.all_muted_until_ms - now_ms)
    if facts.refused:
        return Forbidden("your messages are not accepted here", reason="not_accepted")
    return None


def not_member() -> Forbidden:
    """Said alike for what is foreign and what does not exist."""
    return Forbidden("this conversation does not exist or you are not in it", reason="not_member")


def _until(message: str, reason: str, wait_ms: int) -> Forbidden:
    return Forbidden(message, reason=reason, retry_after_ms=wait_ms if wait_ms <= MAX_WAIT_MS else 0)
