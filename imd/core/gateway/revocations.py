"""What is not true any more: conversations are asked about anew, sessions that were revoked end here."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from twisted.logger import Logger

from imd.bus.port import Bus
from imd.bus.subjects import AUTH_INVALIDATE
from imd.core.gateway.gateway import Gateway
from imd.core.permission.restricted import RestrictedUsers
from imd.core.permission.snapshots import MembershipCache
from imd.core.presence.sight import Sight
from imd.kernel.clocks import WallClock
from imd.pb.bus_pb2 import Invalidation


class Revocations:
    """A stage that takes ``im.auth.invalidate`` to the snapshots, the filter of the restricted, the gateway and presence.

    One consumer for all, so that a node sees the events in one order.
    """

    _logger = Logger()

    def __init__(
        self,
        *,
        bus: Bus,
        members: MembershipCache,
        restricted: RestrictedUsers,
        gateway: Gateway,
        sight: Sight,
        node: str,
        wall_clock: WallClock,
    ) -> None:
        self._bus = bus
        self._members = members
        self._restricted = restricted
        self._gateway = gateway
        self._sight = sight
        self._node = node
        self._wall_clock = wall_clock

    async def start(self) -> None:
        self._bus.consume(AUTH_INVALIDATE, f"core-{self._node}", self._invalidated)

    async def stop(self) -> None:
        """The bus forgets its consumers when it stops."""

    async def _invalidated(self, subject: str, payload: bytes) -> None:
        try:
            event = Invalidation.FromString(payload)
        except DecodeError:
            # Trying again would hold every later event back for minutes and end the same.
            self._logger.error(
                "an event of {size} bytes on {subject} is no Invalidation; it is dropped",
                size=len(payload),
                subject=subject,
            )
            return
        what = event.WhichOneof("what")
        if what == "revoked":
            self._revoke(event)
        elif what == "changed":
            changed = event.changed
            for conversation_id, version in zip(changed.conversationIds, changed.versions, strict=False):
                self._members.invalidate(conversation_id, version, restricted_ids=changed.restrictedIds)
                self._restricted.learn(conversation_id, changed.restrictedIds)
        elif what == "sight":
            self._sight.changed(event.sight.userId, event.sight.peerIds)
        elif what == "conversationId":
            self._change(event)

    def _revoke(self, event: Invalidation) -> None:
        revoked = event.revoked
        self._gateway.revoke(
            revoked.userId,
            login_ids=list(revoked.loginIds),
            device_id=revoked.deviceId,
            except_device_id=revoked.exceptDeviceId,
            reason=revoked.reason,
            age_ms=self._wall_clock() - event.timestamp,
        )

    def _change(self, event: Invalidation) -> None:
        conversation_id = event.conversationId
        self._restricted.learn(conversation_id, event.restrictedIds)
        self._members.invalidate(
            conversation_id,
            event.version,
            removed_ids=event.removedIds,
            restricted_ids=event.restrictedIds,
        )
        # What is known now is at least as new; the event may come late or again, and who has been
        # invited since is not out.
        known = self._members.peek(conversation_id)
        removed = [each for each in event.removedIds if known is None or each not in known.roles]
        if removed:
            self._gateway.removed(removed, conversation_id, event.reason)
