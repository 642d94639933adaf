"""[gateway] of the configuration, as the parts of the gateway take it."""

from __future__ import annotations

from collections.abc import Callable

from imd.config import sections
from imd.config.role_settings import CoreSettings
from imd.core.gateway.authenticate import Greeting
from imd.core.gateway.gateway import GatewayLimits
from imd.core.gateway.idle import IdleTimeouts
from imd.core.gateway.session import QueueLimits
from imd.core.message.catch_up import HISTORY_PAGE, SYNC_PAGE
from imd.pb.connection_pb2 import Limits

#: An Envelope may be so much longer than the largest content in it.
ENVELOPE_OVERHEAD_BYTES = 4 * 1024


def greeting(config: CoreSettings, epoch: Callable[[], str]) -> Greeting:
    """What every client is told in Connected."""
    gateway = config.gateway
    return Greeting(
        server_id=f"core-{config.node_id}",
        epoch=epoch,
        heartbeat_interval_s=gateway.heartbeat_interval_s,
        idle_timeout_s=gateway.idle_timeout_s,
        limits=Limits(
            textBytes=gateway.text_bytes,
            binaryBytes=gateway.binary_bytes,
            envelopeBytes=gateway.binary_bytes + ENVELOPE_OVERHEAD_BYTES,
            historyPage=HISTORY_PAGE,
            syncPage=SYNC_PAGE,
            presenceUsers=config.presence.max_watched,
        ),
    )


def gateway_limits(gateway: sections.Gateway) -> GatewayLimits:
    """Of the node and of each connection."""
    return GatewayLimits(
        max_connections=gateway.max_connections,
        max_strangers=int(gateway.max_connections * gateway.max_unauthenticated_share),
        envelope_bytes=gateway.binary_bytes + ENVELOPE_OVERHEAD_BYTES,
        queue=QueueLimits(gateway.queue_messages, gateway.queue_bytes),
    )


def idle_timeouts(gateway: sections.Gateway) -> IdleTimeouts:
    """How long a connection may be silent, and when."""
    return IdleTimeouts(
        auth_s=gateway.auth_timeout_s,
        idle_s=gateway.idle_timeout_s,
        frame_s=gateway.frame_timeout_s,
        token_grace_s=gateway.token_grace_s,
    )
