"""Identifiers: Snowflake numbers, 1:1 and group conversation ids, and what an id may look like."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from typing import NoReturn

from imd.kernel.clocks import WallClock
from imd.kernel.errors import PayloadInvalid, ServerBusy

#: Conversation, device and login ids, checked before any query (no operators, quotes, dots).
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
#: Clients may also build ids from numbers and times, as the specification's example does (9.7).
_CLIENT_MSG_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")
_DIRECT_PREFIX = "p_"

#: 2025-01-01T00:00:00Z; 41 bits of milliseconds from here last until 2094.
SNOWFLAKE_EPOCH_MS = 1_735_689_600_000
_NODE_BITS = 10
_SEQUENCE_BITS = 12
MAX_NODE_ID = (1 << _NODE_BITS) - 1
_MAX_SEQUENCE = (1 << _SEQUENCE_BITS) - 1
_HALF_SEQUENCE = 1 << (_SEQUENCE_BITS - 1)

SHARD_COUNT = 256


class Snowflake:
    """Rising 63-bit ids: 41 bits of milliseconds, 10 of node, 12 of sequence (spec 003).

    When the wall clock steps back, or a millisecond has no more ids, the id's own time runs ahead of the
    wall clock instead of repeating. An earlier life of the node, before its clock was set back, and another
    process with its node_id are not known here: whoever keeps ids apart must take those as they come, which
    is rarely.

    :param random: 0 to 1; where in the lower half of its numbers each millisecond begins, so that such
        namesakes seldom make the same id.
    """

    def __init__(
        self, *, node_id: int, wall_clock: WallClock, random: Callable[[], float] = lambda: 0.0
    ) -> None:
        if not 0 <= node_id <= MAX_NODE_ID:
            raise ValueError(f"node_id must be 0..{MAX_NODE_ID}, not {node_id}")
        self._node = node_id << _SEQUENCE_BITS
        self._wall_clock = wall_clock
        self._random = random
        self._last_ms = 0
        self._sequence = 0

    def next(self) -> int:
        now_ms = self._wall_clock() - SNOWFLAKE_EPOCH_MS
        if now_ms > self._last_ms:
            self._last_ms = now_ms
            self._sequence = int(self._random() * _HALF_SEQUENCE)
        elif self._sequence < _MAX_SEQUENCE:
            self._sequence += 1
        else:
            self._last_ms += 1
            self._sequence = 0
        return self._last_ms << (_NODE_BITS + _SEQUENCE_BITS) | self._node | self._sequence

    def retire(self) -> None:
        """Another process has this node_id now. From here on ``next`` raises ServerBusy."""
        self._wall_clock = _retired


def _retired() -> NoReturn:
    raise ServerBusy("this node has been replaced; try another one", retry_after_ms=1000)


def snowflake_at(time_ms: int) -> int:
    """Below every id that is made at this time (milliseconds since 1970) or later, by the same clock."""
    return max(0, time_ms - SNOWFLAKE_EPOCH_MS) << (_NODE_BITS + _SEQUENCE_BITS)


def snowflake_node(snowflake: int) -> int:
    """The node that made an id."""
    return snowflake >> _SEQUENCE_BITS & MAX_NODE_ID


def snowflake_ms(snowflake: int) -> int:
    """When an id was made, in milliseconds since 1970, by its node's clock."""
    return (snowflake >> (_NODE_BITS + _SEQUENCE_BITS)) + SNOWFLAKE_EPOCH_MS


def snowflake_span(span_ms: int) -> int:
    """How far ids are apart at least that were made so long one after the other."""
    return span_ms << (_NODE_BITS + _SEQUENCE_BITS)


def direct_conversation_id(user_a: int, user_b: int) -> str:
    """The 1:1 conversation of two users: a hash of the sorted pair (spec 4.1), the same from both sides."""
    low, high = sorted((user_a, user_b))
    return _DIRECT_PREFIX + sha256(f"{low}:{high}".encode()).hexdigest()[:32]


def is_direct_id(conversation_id: str) -> bool:
    """Whether this names a 1:1 conversation, if it names any."""
    return conversation_id.startswith(_DIRECT_PREFIX)


def is_id(value: str) -> bool:
    """Whether this may be a conversation, device or login id."""
    return _ID.match(value) is not None


def is_client_msg_id(value: str) -> bool:
    """Whether this may be a client's message id."""
    return _CLIENT_MSG_ID.match(value) is not None


def check_id(value: str, field: str) -> str:
    """The value itself, or PayloadInvalid naming the field."""
    if _ID.match(value) is None:
        raise PayloadInvalid(f"{field} must be 1 to 64 characters of A-Z a-z 0-9 _ -", field=field)
    return value
