"""From what a client sent to what is judged."""

from __future__ import annotations

from imd.core.directory import GROUP, P2P
from imd.core.message.content import Origin
from imd.core.screening.model import Draft
from imd.kernel.ids import is_direct_id
from imd.pb.message_pb2 import SendMessageReq


def draft_of(request: SendMessageReq, origin: Origin) -> Draft:
    """All that checks may look at."""
    return Draft(
        sender_id=origin.sender_id,
        device_id=origin.sender_device_id,
        conversation_id=origin.conversation_id,
        kind=P2P if is_direct_id(origin.conversation_id) else GROUP,
        client_msg_id=origin.client_msg_id,
        type=request.type,
        text=request.textContent,
        media=request.mediaRef.SerializeToString() if request.HasField("mediaRef") else b"",
    )
