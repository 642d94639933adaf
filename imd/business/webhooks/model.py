"""Events on their way out: how they stand, what comes next, and how long anything waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

import msgspec

#: What is told of messages; their positions are seqs.
STORED, RECALLED, SYSTEM_STORED = "message.stored", "message.recalled", "system.stored"
MESSAGE_KINDS = frozenset((STORED, RECALLED, SYSTEM_STORED))
#: Due at no time: nothing is to be done.
NEVER = (1 << 62) - 1
#: What was sent is known for so long, so that what the bus brings a second time is not sent again.
KNOWN_AFTER_MS = 3600 * 1000
#: Dead letters wait for somebody to look at them.
DEAD_KEPT_MS = 30 * 24 * 3600 * 1000
#: A line nobody wrote into for a week is forgotten; the next event in it then waits ``GAP_PATIENCE_MS``.
LINE_KEPT_MS = 7 * 24 * 3600 * 1000
#: So long an event waits for the one before it, which another node may be telling late.
GAP_PATIENCE_MS = 5_000
#: How often it is looked whether that has come.
GAP_LOOK_MS = 250
#: Events of one line in one go; they are marked together, so a crash in the middle repeats so many at most.
LINE_BATCH = 20
MAX_ERROR = 200
DEAD_PER_PAGE = 100

_FIRST_RETRY_MS = 2_000
_LAST_RETRY_MS = 3600 * 1000
_JITTER = 0.2

_ENCODER = msgspec.json.Encoder()


class EventState(IntEnum):
    """How an event stands; the numbers are stored."""

    WAITING = 0
    SENT = 1
    #: Tried too often; kept to be looked at, and sent again if somebody says so.
    DEAD = 2


class Event(NamedTuple):
    """Something to be told. Those of one ``order_key`` go in the order of ``position``, and of their coming where
    that is 0; with positions 1, 2, 3, ... one that is missing is waited for."""

    #: The same whenever it is told; the receiver drops what it has seen.
    event_id: str
    order_key: str
    kind: str
    #: JSON.
    payload: str
    position: int = 0


class Waiting(NamedTuple):
    """An event whose turn it is, or is soon."""

    row_id: int
    event: Event
    tries: int
    created_at_ms: int


class Line(NamedTuple):
    """The events of one order key, claimed by one node."""

    order_key: str
    last_position: int
    events: list[Waiting]


class Dead(NamedTuple):
    """An event that was given up."""

    row_id: int
    event: Event
    tries: int
    error: str
    created_at_ms: int


class Outcome(NamedTuple):
    """How far one go at a line came: the first ``sent`` events were taken; then, maybe, one failed, or waits for
    the one before it until ``wait_until_ms``."""

    sent: int
    error: str = ""
    wait_until_ms: int = 0


def payload_of(event_id: str, kind: str, at_ms: int, body: Mapping[str, Any]) -> str:
    """The JSON of an event, as it is sent."""
    return _ENCODER.encode({"id": event_id, "event": kind, "timestamp": str(at_ms), **body}).decode()


def retry_after_ms(tries: int, random: Callable[[], float]) -> int:
    """Until the next try, after so many that failed: twice as long each time, and not all at the same moment."""
    delay_ms = min(_LAST_RETRY_MS, _FIRST_RETRY_MS << min(tries - 1, 20))
    return int(delay_ms * (1 - _JITTER + 2 * _JITTER * random()))
