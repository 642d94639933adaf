"""What core let through unjudged is judged here, by what was true then; what should not have been is taken back.

Whoever hears of a release answers again, so nothing has to be waited for but the database. A message that was
wrongly let through is revoked by the owner of its conversation, and its sender is told on all devices.
"""

from __future__ import annotations

import json
from typing import Protocol

from google.protobuf.message import DecodeError
from twisted.logger import Logger

from imd.bus.audit import HIGH, RELEASED, REVOKED, AuditEntry
from imd.bus.port import Bus
from imd.bus.subjects import AUDIT_LOG
from imd.business.audit.ports import Audit
from imd.business.groups.direct import OpenDirect
from imd.business.groups.ports import Memberships, StandingsAt
from imd.business.permission.revoking import Revoking
from imd.business.permission.rights import rights_of
from imd.kernel.clocks import Clock
from imd.kernel.errors import Forbidden, ImError, PayloadInvalid
from imd.kernel.trying import Trying
from imd.pb.bus_pb2 import AuditEvent, AuditEvents

#: All business nodes take turns under one name.
CONSUMER = "recheck"
#: Seconds between tries while the database or core is away. The bus would give events up after three of its own.
_RETRY_S = (1.0, 5.0, 15.0)


class PairsAt(Protocol):
    """What was true between two people. Raises ``ServerBusy``."""

    async def refused_at(self, sender_id: int, receiver_id: int, at_ms: int) -> str:
        """The reason why one could not write to the other at a time of the last days; empty: they could."""
        ...


class Recheck:
    """A stage that takes ``im.audit.log`` and looks at the releases among all the rest."""

    _log = Logger()

    def __init__(
        self,
        *,
        bus: Bus,
        standings: StandingsAt,
        pairs: PairsAt,
        memberships: Memberships,
        open_direct: OpenDirect,
        revoking: Revoking,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._bus = bus
        self._standings = standings
        self._pairs = pairs
        self._memberships = memberships
        self._open_direct = open_direct
        self._revoking = revoking
        self._audit = audit
        self._trying = Trying(clock=clock, delays_s=_RETRY_S)
        #: For the metrics.
        self.checked = 0
        self.revoked = 0

    async def start(self) -> None:
        """Take events, also those that came while nobody was there."""
        self._bus.consume(AUDIT_LOG, CONSUMER, self._take)

    async def stop(self) -> None:
        """What could not be judged yet comes again, here or at another node."""
        self._trying.stop()

    async def _take(self, _: str, payload: bytes) -> None:
        try:
            events = AuditEvents.FromString(payload).events
        except DecodeError:
            # Whoever keeps events says so.
            return
        for event in events:
            # A person's, and stored: what the server itself writes is checked by whoever has it written.
            if event.decision == RELEASED and event.seq > 0 and event.actorId:
                await self._until_done(event)

    async def _until_done(self, event: AuditEvent) -> None:
        try:
            await self._trying.until_done(
                lambda: self._look(event),
                waits=lambda error: self._log.error(
                    "the second look at what was released waits: {error}", error=error
                ),
            )
        except ImError as error:
            if error.retryable:
                raise
            # Another try would end the same, and hold up those behind it.
            self._log.critical(
                "message {seq} of {conversation_id} was let through, and stays: {error}",
                seq=event.seq,
                conversation_id=event.conversationId,
                error=error,
            )

    async def _look(self, event: AuditEvent) -> None:
        reason = await self._refused(event)
        self.checked += 1
        if not reason:
            return
        if not await self._revoking.revoke(event, reason, peer_id=_detail(event)[1]):
            return
        self.revoked += 1
        self._log.info(
            "message {seq} of {conversation_id} was let through and is taken back: {reason}",
            seq=event.seq,
            conversation_id=event.conversationId,
            reason=reason,
        )
        self._audit.record(
            AuditEntry(
                action="message.revoke",
                decision=REVOKED,
                reason=reason,
                subject_id=event.actorId,
                conversation_id=event.conversationId,
                request_id=event.requestId,
                policy_version=event.policyVersion,
                level=HIGH,
                seq=event.seq,
                server_msg_id=event.serverMsgId,
            )
        )

    async def _refused(self, event: AuditEvent) -> str:
        """Why it should not have been let through; empty: it was right."""
        at_ms, peer_id = _detail(event)
        conversation_id, sender_id = event.conversationId, event.actorId
        pair = [member.user_id for member in await self._memberships.pair(conversation_id)]
        if not pair and peer_id:
            try:
                pair = [sender_id, peer_id]
                # Or what was said there would be in nobody's list.
                await self._open_direct(sender_id, peer_id)
            except (Forbidden, PayloadInvalid) as error:
                return error.reason or "not_accepted"
        if pair:
            others = [user_id for user_id in pair if user_id != sender_id]
            return (
                await self._pairs.refused_at(sender_id, others[0], at_ms)
                if sender_id in pair
                else "not_member"
            )
        return await self._refused_in_group(event, at_ms)

    async def _refused_in_group(self, event: AuditEvent, at_ms: int) -> str:
        standing = await self._standings.standing_at(event.conversationId, event.actorId, at_ms)
        if not standing.is_member or standing.is_barred:
            return "not_member"
        if not standing.is_active:
            return "not_accepted"
        if standing.is_muted:
            return "muted"
        group = await self._memberships.group(event.conversationId)
        if group is not None and event.right & ~rights_of(group, standing.role):
            return "no_right"
        return ""


def _detail(event: AuditEvent) -> tuple[int, int]:
    """When it was let through, and to whom in a 1:1 conversation; 0 if that is not known."""
    try:
        detail = json.loads(event.detail or "{}")
        return int(detail.get("at", event.timestamp)), int(detail.get("peer", 0))
    except (ValueError, TypeError, AttributeError):
        return event.timestamp, 0
