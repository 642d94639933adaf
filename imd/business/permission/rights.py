"""Which role may do what in a group of which kind: the one table by which business and core judge.

Core is handed the rows of a group with its members; every use case of ``groups`` asks ``require`` here. What only
the owner may do, roles, transfer and the end of a group, is no right that could be given away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntFlag

from imd.business.groups.model import ADMIN, MANAGED, MEMBER, NORMAL, OFFICIAL, OWNER, PUBLIC, Group, Standing
from imd.kernel.errors import Forbidden

#: Spec 23.1: above so many members a group is as sensitive as one that is marked so.
SENSITIVE_ABOVE_MEMBERS = 1_000


class Right(IntFlag):
    """Bits of ``Right`` in bus.proto."""

    MESSAGE = 1
    MEDIA = 2
    CONTROL = 4
    INVITE = 8
    MUTE = 16
    RECALL_OTHERS = 32
    MANAGE = 64


_TALK = Right.MESSAGE | Right.MEDIA | Right.CONTROL
_KEEP_ORDER = Right.INVITE | Right.MUTE | Right.RECALL_OTHERS | Right.MANAGE

#: Of both in a 1:1 conversation, unless one of them does not accept the other.
DIRECT_RIGHTS = _TALK
RIGHTS: Mapping[tuple[int, int], Right] = {
    # Friends, a club: everybody talks, some keep order.
    (NORMAL, MEMBER): _TALK,
    (NORMAL, ADMIN): _TALK | _KEEP_ORDER,
    (NORMAL, OWNER): _TALK | _KEEP_ORDER,
    # A company or school: who belongs to it is not for the members to say.
    (MANAGED, MEMBER): _TALK,
    (MANAGED, ADMIN): _TALK | _KEEP_ORDER,
    (MANAGED, OWNER): _TALK | _KEEP_ORDER,
    # Open to strangers: they talk like everybody else, and are muted and recalled like everybody else.
    (PUBLIC, MEMBER): _TALK,
    (PUBLIC, ADMIN): _TALK | _KEEP_ORDER,
    (PUBLIC, OWNER): _TALK | _KEEP_ORDER,
    # A voice of the operator: members read. Their receipts are control messages, and count.
    (OFFICIAL, MEMBER): Right.CONTROL,
    (OFFICIAL, ADMIN): _TALK | _KEEP_ORDER,
    (OFFICIAL, OWNER): _TALK | _KEEP_ORDER,
}
#: Kinds in which a group may let its members bring in others (``members_invite``).
MEMBERS_MAY_INVITE = frozenset({NORMAL, PUBLIC})
#: Kinds that are sensitive whatever their size.
_SENSITIVE_KINDS = frozenset({MANAGED, PUBLIC, OFFICIAL})


def rights_of(group: Group, role: int) -> Right:
    """What somebody of this role may do in this group."""
    rights = RIGHTS[group.kind, role]
    if role == MEMBER and group.rules.members_invite and group.kind in MEMBERS_MAY_INVITE:
        rights |= Right.INVITE
    return rights


def is_sensitive(group: Group) -> bool:
    """Whether in doubt the answer is no (spec 5.4)."""
    return group.sensitive or group.kind in _SENSITIVE_KINDS or group.member_count > SENSITIVE_ABOVE_MEMBERS


def require(standing: Standing, right: Right) -> None:
    """Forbidden, with the reason ``no_right``, unless they have it."""
    if not rights_of(standing.group, standing.role) & right:
        raise Forbidden("your role in this group does not allow this", reason="no_right")


def require_owner(standing: Standing) -> None:
    """For roles, transfer and the end of a group."""
    if standing.role != OWNER:
        raise Forbidden("only the owner may do this", reason="no_right")


def require_above(role: int, targets: Iterable[int]) -> None:
    """What is done to people is done to those who stand below oneself: no admin touches another, nobody the owner."""
    if any(target >= role for target in targets):
        raise Forbidden("only people with a lower role can be treated so", reason="no_right")
