"""A message that was held and approved, as one to be stored: in its sender's name, as if it had just been sent."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from imd.core.message.content import MEDIA_TYPES, Origin, sent_body
from imd.core.message.sends import PendingSend, SendKey, Submitter
from imd.kernel.errors import PayloadInvalid
from imd.pb.bus_pb2 import HeldMessage
from imd.pb.message_pb2 import SendMessageReq


def approved_send(held: HeldMessage, origin: Origin, submitter: Submitter, *, version: int) -> PendingSend:
    """The send; whether its sender may write there is judged as of any.

    Nobody's device is left out when it is delivered: the one that sent it may be long gone, or waits for it as well.

    :param version: of the membership that must be known before its sender is judged.
    :raises PayloadInvalid: it is none.
    """
    try:
        request = SendMessageReq.FromString(held.request)
    except DecodeError:
        raise PayloadInvalid("not a SendMessageReq", field="approved.request") from None
    if request.conversationId != origin.conversation_id or request.clientMsgId != origin.client_msg_id:
        raise PayloadInvalid("another message than it is called", field="approved.request")
    if held.senderId <= 0:
        raise PayloadInvalid("nobody sends it", field="approved.senderId")
    sender = origin._replace(sender_id=held.senderId, sender_device_id=held.deviceId)
    send = PendingSend(
        key=SendKey(origin.conversation_id, held.senderId, origin.client_msg_id),
        body=sent_body(request, sender),
        content_hash=held.contentHash,
        server_msg_id=origin.server_msg_id,
        server_time_ms=origin.server_time_ms,
        submitter=submitter,
        recipient=None,
        is_media=request.type in MEDIA_TYPES,
        # Business has opened the conversation, since nobody's ticket is at hand.
        version=version,
    )
    # An earlier try may have stored it before it could be written down: the log is asked before it is refused.
    send.outcome_unknown = True
    return send
