"""A no that this node is sure of is said here, before the message goes to the node that owns the conversation."""

from __future__ import annotations

from imd.core.message.refuse import Refusals
from imd.core.message.sends import PendingSend
from imd.core.permission.decide import refusal
from imd.core.permission.snapshots import MembershipCache


class QuickRefusal:
    """Looks at what is known here and fresh; the owner has the last word on everything else."""

    def __init__(self, *, members: MembershipCache, refusals: Refusals) -> None:
        self._members = members
        self._refusals = refusals

    def refused(self, send: PendingSend) -> bool:
        """Whether the send was refused, and its submitter is told; costs no await."""
        conversation_id, sender_id, _ = send.key
        membership = self._members.peek(conversation_id)
        if membership is None:
            return False
        error = refusal(membership, sender_id, send.right, send.server_time_ms)
        if error is None:
            return False
        self._refusals.refuse(send, error)
        return True
