"""A no that this node is sure of is said here, before the message goes to the node that owns the conversation."""

from __future__ import annotations

from imd.core.gateway.quotas import Quotas
from imd.core.message.refuse import Refusals
from imd.core.message.sends import PendingSend
from imd.core.permission.decide import refusal
from imd.core.permission.snapshots import MembershipCache
from imd.kernel.errors import ImError


class QuickRefusal:
    """By what is known here and fresh, and by what the sender has used up today.

    :param members: None: conversations have no other owner, who will say so at once anyway.
    """

    def __init__(self, *, members: MembershipCache | None, quotas: Quotas, refusals: Refusals) -> None:
        self._members = members
        self._quotas = quotas
        self._refusals = refusals

    def refused(self, send: PendingSend, message_type: int) -> bool:
        """Whether the send was refused, and its submitter is told; costs no await."""
        members, quotas = self._members, self._quotas
        error = None if members is None else _by_rules(members, send)
        if error is None and quotas.are_any:
            error = self._by_quota(send, message_type)
        if error is None:
            return False
        self._refusals.refuse(send, error)
        return True

    def _by_quota(self, send: PendingSend, message_type: int) -> ImError | None:
        if not self._quotas.limits.of(message_type):
            return None
        error = self._quotas.take(send.key.sender_id, message_type)
        if error is None:
            send.charged = message_type
        return error


def _by_rules(members: MembershipCache, send: PendingSend) -> ImError | None:
    membership = members.peek(send.key.conversation_id)
    if membership is None:
        # The owner has the last word, and now also the first.
        return None
    return refusal(membership, send.key.sender_id, send.right, send.server_time_ms)
