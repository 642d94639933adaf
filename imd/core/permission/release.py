"""What was let through unjudged, or refused for that reason: each is told to business, which looks at it later."""

from __future__ import annotations

import json
from typing import Protocol

from imd.bus.audit import DEGRADED, REFUSED, RELEASED, AuditEntry
from imd.core.message.sends import PendingSend, Submitter
from imd.core.permission.values import AuditLevel, Decision, Row
from imd.kernel.clocks import WallClock
from imd.kernel.errors import ImError

#: Releases that are not recorded yet, at some 500 bytes each: a minute of 150 a second. Above, nothing is let
#: through any more: what nobody would look at later is not released.
MAX_UNRECORDED = 10_000

#: What would have been done, had the policy been in force.
SHADOW = {Decision.RELEASE: "would_release", Decision.REFUSE: "would_refuse"}


class Trail(Protocol):
    """Where events are recorded until the bus has them."""

    @property
    def releases_waiting(self) -> int:
        """Releases that the bus has not taken yet; other events do not keep anything from being let through."""
        ...

    def record(self, entry: AuditEntry) -> None:
        """Have it kept; never waits, never fails."""
        ...


class Releases:
    """Keeps count of what was released, and tells of each when it is known what became of it.

    The detail of such an event says when it was let through (``at``), by which word of the matrix (``by``), to
    whom in a 1:1 conversation (``peer``), and why it was not stored after all (``failed``).
    """

    def __init__(self, *, trail: Trail, wall_clock: WallClock) -> None:
        self._trail = trail
        self._wall_clock = wall_clock
        self._under_way = 0
        #: For the metrics.
        self.released = 0
        self.refusals = 0

    @property
    def has_room(self) -> bool:
        """Whether one more could be recorded."""
        return self._under_way + self._trail.releases_waiting < MAX_UNRECORDED

    def release(self, send: PendingSend, row: Row, decision: Decision, policy_version: int) -> None:
        """Mark it; from here on its outcome is heard."""
        self.released += 1
        self._under_way += 1
        send.released = True
        detail: dict[str, object] = {
            "by": decision.value,
            "peer": send.peer_user_id,
            "at": self._wall_clock(),
        }
        send.submitter = _Witness(send.submitter, self, row.audit, policy_version, detail)

    def refused(self, send: PendingSend, row: Row | None, policy_version: int) -> None:
        """It is not let through, since nobody could judge it."""
        self.refusals += 1
        level = row.audit if row is not None else AuditLevel.MEDIUM
        self._trail.record(_entry(send, REFUSED, level, policy_version))

    def shadowed(self, send: PendingSend, row: Row, decision: Decision, policy_version: int) -> None:
        """What would have been done."""
        self._trail.record(_entry(send, SHADOW[decision], row.audit, policy_version))

    def ended(self, entry: AuditEntry | None) -> None:
        """A release has its outcome; None: there is nothing to tell."""
        self._under_way -= 1
        if entry is not None:
            self._trail.record(entry)


class _Witness:
    """``Submitter``: passes everything on, and tells of the end."""

    def __init__(
        self,
        submitter: Submitter,
        releases: Releases,
        level: AuditLevel,
        policy_version: int,
        detail: dict[str, object],
    ) -> None:
        self._submitter = submitter
        self._releases = releases
        self._level = level
        self._policy_version = policy_version
        self._detail = detail

    def accepted(self, send: PendingSend) -> None:
        self._submitter.accepted(send)

    def stored(self, send: PendingSend, *, duplicate: bool) -> None:
        # The first result again was released, or not, when it was the first.
        self._end(send, None if duplicate else self._entry(send))
        self._submitter.stored(send, duplicate=duplicate)

    def failed(self, send: PendingSend, error: ImError) -> None:
        self._end(send, self._entry(send, failed=error.message))
        self._submitter.failed(send, error)

    def delayed(self, send: PendingSend) -> None:
        self._submitter.delayed(send)

    def _end(self, send: PendingSend, entry: AuditEntry | None) -> None:
        send.submitter = self._submitter
        self._releases.ended(entry)

    def _entry(self, send: PendingSend, *, failed: str = "") -> AuditEntry:
        entry = _entry(send, RELEASED, self._level, self._policy_version)
        if failed:
            return entry._replace(detail=json.dumps(self._detail | {"failed": failed}))
        return entry._replace(detail=json.dumps(self._detail), seq=send.seq, server_msg_id=send.server_msg_id)


def _entry(send: PendingSend, decision: str, level: AuditLevel, policy_version: int) -> AuditEntry:
    conversation_id, sender_id, client_msg_id = send.key
    return AuditEntry(
        action="message.send" if send.revokes is None else "message.recall",
        decision=decision,
        reason=DEGRADED,
        actor_id=sender_id,
        conversation_id=conversation_id,
        request_id=client_msg_id,
        policy_version=policy_version,
        level=int(level),
        right=send.right,
    )
