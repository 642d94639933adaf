"""Every subject of the bus, ``im.{service}.{action}[.{target}]`` (spec 3.2, 3.5)."""

from __future__ import annotations

from zlib import crc32

from imd.kernel.ids import SHARD_COUNT

# Request and reply; the payloads are im.internal.v1 messages of the same name.
AUTH_TOKEN = "im.auth.token"
AUTH_MEMBERS = "im.auth.members"
AUTH_DIRECT = "im.auth.direct"
AUTH_CONVERSATIONS = "im.auth.conversations"
AUTH_VISIBLE = "im.auth.visible"
MESSAGE_SEND_ANY = "im.message.send.*"

# Durable events.
AUTH_INVALIDATE = "im.auth.invalidate"

#: Seconds; spec 24.1.
DEFAULT_TIMEOUT_S = 2.0
PERMISSION_TIMEOUT_S = 0.3


def shard_of(conversation_id: str) -> int:
    """The logical shard that owns a conversation."""
    return crc32(conversation_id.encode()) % SHARD_COUNT


def message_send(shard: int) -> str:
    """Where the owner of a shard takes messages for its conversations."""
    return f"im.message.send.{shard}"
