"""Audit events as they are kept and asked for: plain records."""

from __future__ import annotations

from typing import NamedTuple

EVENTS_PER_PAGE = 200


class Kept(NamedTuple):
    """An event that is stored; ``id`` says in which order events came here."""

    id: int
    event_id: str
    at_ms: int
    node: str
    request_id: str
    actor_id: int
    subject_id: int
    conversation_id: str
    action: str
    decision: str
    reason: str
    policy_version: int
    level: int
    detail: str


class Place(NamedTuple):
    """Between two events; the newest come first."""

    at_ms: int
    id: int


class Wanted(NamedTuple):
    """Which events; 0 and empty: whatever it is. Times include ``from_ms`` and exclude ``to_ms``."""

    actor_id: int = 0
    subject_id: int = 0
    conversation_id: str = ""
    action: str = ""
    decision: str = ""
    request_id: str = ""
    from_ms: int = 0
    to_ms: int = 0
