"""Sends and their outcomes as nodes tell them to each other."""

from __future__ import annotations

from imd.bus.failures import error_of, failure_of
from imd.core.message.sends import PendingSend, SendKey, Submitter
from imd.kernel.errors import ImError
from imd.pb.bus_pb2 import ForwardedSend, SendOutcome
from imd.wire.outbound import Outbound


class DistantDevice:
    """The sender of a send that came from another node; told there, not here."""

    __slots__ = ("device_id", "forward_id", "node_id", "user_id")

    def __init__(self, node_id: int, forward_id: int, user_id: int, device_id: str) -> None:
        self.node_id = node_id
        self.forward_id = forward_id
        self.user_id = user_id
        self.device_id = device_id

    def push(self, outbound: Outbound) -> None:
        """Its own node tells it."""


def encode_send(into: ForwardedSend, forward_id: int, send: PendingSend, *, owner: int) -> None:
    """Fill the message with all that the owner needs to know."""
    into.forwardId = forward_id
    into.conversationId, into.senderId, into.clientMsgId = send.key
    into.body = send.body
    into.contentHash = send.content_hash
    into.serverMsgId = send.server_msg_id
    into.serverTime = send.server_time_ms
    into.isMedia = send.is_media
    into.peerUserId = send.peer_user_id
    into.version = send.version
    into.right = send.right  # type: ignore[assignment]
    into.ticket, into.level = send.ticket, send.level
    into.mayBeStored = send.outcome_unknown
    if send.revokes is not None:
        into.revokesSeq, into.revokedBody = send.revokes
    if send.recipient is not None:
        into.deviceId = send.recipient.device_id
    if send.traced is not None:
        into.traceparent = send.traced.handed_over(owner).traceparent()


def decode_send(given: ForwardedSend, node_id: int, submitter: Submitter) -> PendingSend:
    """The send, as the owner takes it in."""
    send = PendingSend(
        key=SendKey(given.conversationId, given.senderId, given.clientMsgId),
        body=given.body,
        content_hash=given.contentHash,
        server_msg_id=given.serverMsgId,
        server_time_ms=given.serverTime,
        submitter=submitter,
        recipient=DistantDevice(node_id, given.forwardId, given.senderId, given.deviceId),
        is_media=given.isMedia,
        peer_user_id=given.peerUserId,
        revokes=(given.revokesSeq, given.revokedBody) if given.revokesSeq else None,
        version=given.version,
        right=given.right,
        ticket=given.ticket,
        level=given.level,
    )
    send.outcome_unknown = given.mayBeStored
    return send


def outcome_failed(forward_id: int, error: ImError) -> SendOutcome:
    """Provably not stored, and why."""
    return SendOutcome(
        forwardId=forward_id,
        kind=SendOutcome.FAILED,
        failure=failure_of(error),
        retryAfterMs=error.retry_after_ms,
        field=error.field,
    )


def error_of_outcome(outcome: SendOutcome) -> ImError:
    """The error that the owner raised."""
    return error_of(outcome.failure, field=outcome.field, retry_after_ms=outcome.retryAfterMs)
