"""All who are restricted somewhere, page by page, for the filters of core nodes.

A filter must know everybody who is: who is named in vain only costs a look at the snapshot. So nothing is joined here
that could be left out, and each source is read along an index.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, and_, bindparam, or_, select

from imd.business.accounts.model import ACTIVE
from imd.business.permission.model import Page, Restricted
from imd.business.tables.groups import group_blacklist, group_members
from imd.business.tables.people import blocks, direct_conversations, users
from imd.kernel.errors import PayloadInvalid
from imd.kernel.ids import direct_conversation_id

_MAX_PLACE_LENGTH = 200


class _Source(NamedTuple):
    """Rows whose first two columns are their place, in the order of it; ``first`` is before all of them."""

    statement: Any
    first: tuple[Any, Any]
    #: Whom a row names.
    named: Callable[[Any], list[Restricted]]


def _placed(*columns: Any) -> Select[Any]:
    """A page of rows, behind a place given by the first two of the columns."""
    first, second = columns[0], columns[1]
    # The same as comparing the pair, but a range for MariaDB, which reads for a pair from the beginning.
    behind = and_(first >= bindparam("at0"), or_(first > bindparam("at0"), second > bindparam("at1")))
    return select(*columns).where(behind).order_by(first, second).limit(bindparam("most"))


def _of_pair(user_id: int, other_id: int) -> list[Restricted]:
    conversation_id = direct_conversation_id(user_id, other_id)
    return [Restricted(conversation_id, user_id), Restricted(conversation_id, other_id)]


def _reserved(side: Any) -> Select[Any]:
    """Of people who are frozen, gone or not open to everybody: the conversations in which they are on this side."""
    query = _placed(users.c.id, direct_conversations.c.id, direct_conversations.c.user_low,
                    direct_conversations.c.user_high)  # fmt: skip
    return query.where(side == users.c.id, or_(users.c.status != ACTIVE, users.c.message_from != 0))


def _themselves(row: Any) -> list[Restricted]:
    return [Restricted(row[0], row[1])]


_MUTED = _placed(group_members.c.group_id, group_members.c.user_id).where(
    group_members.c.muted_until_ms > bindparam("now")
)
_BARRED = _placed(group_blacklist.c.group_id, group_blacklist.c.user_id)
_BLOCKED = _placed(blocks.c.user_id, blocks.c.blocked_id)

#: One after the other; who is taken from one source to another meanwhile is in both, or in core's invalidations.
_SOURCES = (
    _Source(_MUTED, ("", 0), _themselves),
    _Source(_BARRED, ("", 0), _themselves),
    _Source(_BLOCKED, (0, 0), lambda row: _of_pair(row[0], row[1])),
    _Source(_reserved(direct_conversations.c.user_low), (0, ""), lambda row: _of_pair(row[2], row[3])),
    _Source(_reserved(direct_conversations.c.user_high), (0, ""), lambda row: _of_pair(row[2], row[3])),
)


def read_restricted(connection: Connection, after: str, *, now_ms: int, limit: int) -> Page:
    """A page of at most twice ``limit``, for of some rows both people are named."""
    number, at = _place(after)
    source = _SOURCES[number]
    asked = {"at0": at[0], "at1": at[1], "most": limit, "now": now_ms}
    if number:
        del asked["now"]
    rows = connection.execute(source.statement, asked).all()
    restricted = [one for row in rows for one in source.named(row)]
    if len(rows) == limit:
        following = f"{number}:{rows[-1][0]}:{rows[-1][1]}"
    elif number + 1 < len(_SOURCES):
        first = _SOURCES[number + 1].first
        following = f"{number + 1}:{first[0]}:{first[1]}"
    else:
        following = ""
    return Page(restricted, following)


def _place(after: str) -> tuple[int, tuple[Any, Any]]:
    """Source and place in it; of the same types as its first."""
    if not after:
        return 0, _SOURCES[0].first
    parts = after.split(":")
    try:
        number = int(parts[0])
        if len(parts) != 3 or len(after) > _MAX_PLACE_LENGTH or not 0 <= number < len(_SOURCES):
            raise ValueError(after)
        first = _SOURCES[number].first
        return number, (type(first[0])(parts[1]), type(first[1])(parts[2]))
    except ValueError:
        raise PayloadInvalid("this is no page", field="after") from None
