"""Every subject of the bus, ``im.{service}.{action}[.{target}]`` (spec 3.2, 3.5)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from zlib import crc32

from imd.kernel.ids import SHARD_COUNT

# Request and reply; the payloads are im.internal.v1 messages of the same name.
AUTH_TOKEN = "im.auth.token"
AUTH_MEMBERS = "im.auth.members"
AUTH_DIRECT = "im.auth.direct"
AUTH_CONVERSATIONS = "im.auth.conversations"
AUTH_VISIBLE = "im.auth.visible"
AUTH_CHECK = "im.auth.check"
AUTH_RESTRICTED = "im.auth.restricted"
REVIEW_HOLD = "im.review.hold"
REVIEW_STATE = "im.review.state"
#: Answered by admin: whose token is this?
ADMIN_OPERATOR = "im.admin.operator"
#: Answered by core.
MESSAGE_HISTORY = "im.message.history"
MESSAGE_SEND_ANY = "im.message.send.*"
EXPLAIN_STORED = "im.explain.stored"

# Between nodes and roles, at most once.
#: Who came and who went, from each core node to all.
PRESENCE_STATUS = "im.presence.status"
#: What became of a message that was held, from business to all core nodes.
MESSAGE_DECIDED = "im.message.decided"
#: A core node joins, drains or leaves, or took or gave shards.
NODE_CHANGED = "im.node.changed"
#: How a core node is, every few seconds; business answers clients by it.
NODE_REPORT = "im.node.report"
#: Which settings each node runs, at every change and every few seconds; im-admin shows operators (spec 3.5).
ADMIN_MONITOR = "im.admin.monitor"
#: An operator's token was taken back, from admin to whoever remembers whose it was.
ADMIN_REVOKED = "im.admin.revoked"

# Durable events (JetStream, stream im-critical).
AUTH_INVALIDATE = "im.auth.invalidate"
AUTH_UPDATE = "im.auth.update"
ADMIN_CONFIG = "im.admin.config"
NOTIFICATION_PUSH = "im.notification.push"
AUDIT_LOG = "im.audit.log"
MESSAGE_ACK = "im.message.ack"
#: Stored messages that the outside is told of.
HOOK_MESSAGE = "im.hook.message"
#: Of these only the newest event counts: a consumer begins with it each time it starts, seen before or not.
NEWEST_COUNTS = frozenset({ADMIN_CONFIG})
#: Of these what is older (seconds) concerns nobody who starts: a consumer begins each time with what is younger, and
#: its node waits for the end of that. Nothing is cached yet, and nobody is connected; what others may still say of the
#: past is as old as a membership is cached at most (600 s and a tenth), and a token is tolerated (60 s) after its end.
FADES_AFTER_S: Mapping[str, float] = MappingProxyType({AUTH_INVALIDATE: 900.0})

#: Seconds; spec 24.1.
DEFAULT_TIMEOUT_S = 2.0
PERMISSION_TIMEOUT_S = 0.3


def shard_of(conversation_id: str) -> int:
    """The logical shard that owns a conversation."""
    return crc32(conversation_id.encode()) % SHARD_COUNT


def message_send(shard: int) -> str:
    """Where the owner of a shard takes messages for its conversations."""
    return f"im.message.send.{shard}"


def message_append(node_id: int) -> str:
    """Where a node takes the sends of the shards it owns, in batches, from other nodes."""
    return f"im.message.append.{node_id}"


def message_settled(node_id: int) -> str:
    """Where a node hears how the sends ended that it handed to others."""
    return f"im.message.settled.{node_id}"


def message_deliver(node_id: int) -> str:
    """Where a node hears what its members are to be told."""
    return f"im.message.deliver.{node_id}"


def presence_query(node_id: int) -> str:
    """Where a node answers who of some users is connected, as far as it knows."""
    return f"im.presence.query.{node_id}"


def session_kick(node_id: int) -> str:
    """Where a node hears which of its sessions have to go."""
    return f"im.session.kick.{node_id}"


def explain_node(node_id: int) -> str:
    """Where a node tells what it remembers of a message and its receiver."""
    return f"im.explain.node.{node_id}"
