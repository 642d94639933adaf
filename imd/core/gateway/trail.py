"""Who was refused what: each request that somebody may not make is written down by the node they are connected to."""

from __future__ import annotations

from imd.bus.audit import LOW, MEDIUM, REFUSED, AuditEntry
from imd.core.message.sends import PendingSend
from imd.core.permission.audit import Audit
from imd.core.permission.snapshots import MembershipCache
from imd.kernel.errors import ImError
from imd.pb.envelope_pb2 import Envelope

#: Refusals by permission, and how much each matters: one who pries more than one who is muted. What is refused
#: since nobody could judge it is told where that is decided.
LEVELS = {
    "not_member": MEDIUM,
    "no_right": MEDIUM,
    "no_scope": MEDIUM,
    "muted": LOW,
    "all_muted": LOW,
    "not_accepted": LOW,
}
#: What somebody wanted to do, by the payload that asked for it; others are named by their payload.
_ACTIONS = {
    "send": "message.send",
    "recall": "message.recall",
    "typing": "message.typing",
    "read": "message.read",
    "deliverAck": "message.read",
    "historyReq": "message.history",
    "queryMessageStatusReq": "message.status",
    "receiptsReq": "message.receipts",
}


class RefusalTrail:
    """Records refusals; anything else that went wrong is nobody's business."""

    def __init__(self, *, audit: Audit, members: MembershipCache) -> None:
        self._audit = audit
        self._members = members

    def send(self, send: PendingSend, error: ImError) -> None:
        """It is FAILED, whichever node found that."""
        if error.reason in LEVELS:
            conversation_id, sender_id, client_msg_id = send.key
            action = "message.send" if send.revokes is None else "message.recall"
            self._record(action, sender_id, conversation_id, client_msg_id, error, send.right)

    def request(self, user_id: int, envelope: Envelope, error: ImError) -> None:
        """It is answered with this error."""
        if error.reason in LEVELS:
            payload = envelope.WhichOneof("payload") or ""
            asked = getattr(envelope, payload, None)
            request_id = getattr(asked, "clientMsgId", "") or str(envelope.header.requestId or "")
            conversation_id = getattr(asked, "conversationId", "")
            self._record(_ACTIONS.get(payload, payload), user_id, conversation_id, request_id, error)

    def _record(
        self,
        action: str,
        user_id: int,
        conversation_id: str,
        request_id: str,
        error: ImError,
        right: int = 0,
    ) -> None:
        known = self._members.last_known(conversation_id)
        self._audit.record(
            AuditEntry(
                action=action,
                decision=REFUSED,
                reason=error.reason,
                actor_id=user_id,
                conversation_id=conversation_id,
                request_id=request_id,
                policy_version=known.policy_version if known is not None else 0,
                level=LEVELS[error.reason],
                right=right,
            )
        )
