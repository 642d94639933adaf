"""Of the gateway: connections, frames in and out, back-pressure, refusals (spec 8, 11.1)."""

from __future__ import annotations

from imd.kernel.errors import Code
from imd.ops.metrics.model import GATEWAYS, Label, Metric, counter, gauge
from imd.wire.server import REQUESTS

#: What a client can send; ``other`` is everything that no client may.
FRAME_TYPES = ("connect", "hb", *sorted(REQUESTS), "other")
PRIORITIES = ("control", "normal", "large_group", "bulk")
#: Why a connection was not let in.
NOT_LET_IN = ("draining", "full", "strangers", "rate")
#: How connections end. ``left``: the peer's doing, or the network's.
ENDINGS = (
    "left",
    "silent",
    "unfinished",
    "nameless",
    "unread",
    "expired",
    "kicked",
    "drained",
    "refused",
)
BACKPRESSURE = ("write_blocked", "queue_shed", "control_overflow", "reading_paused", "admission_refused")
#: Whose rate was exceeded.
RATES = ("device", "address", "user", "conversation", "day")
CODES = tuple(str(int(code)) for code in Code if code)

METRICS: tuple[Metric, ...] = (
    gauge(
        "imd_connections",
        "Open connections: live ones have said who they are, strangers have not yet.",
        Label("state", ("live", "stranger")),
        roles=GATEWAYS,
        spec="connections",
    ),
    gauge("imd_connections_limit", "max_connections of [gateway].", roles=GATEWAYS),
    gauge(
        "imd_connections_blocked",
        "Connections whose peer does not read what it is sent, now.",
        roles=GATEWAYS,
    ),
    counter("imd_connections_opened_total", "Connections that were let in.", roles=GATEWAYS),
    counter(
        "imd_connections_refused_total",
        "Connections that were closed at once, by reason.",
        Label("reason", NOT_LET_IN),
        roles=GATEWAYS,
    ),
    counter(
        "imd_connections_closed_total",
        "Connections that ended, by how. Silent ones have lost their heartbeat.",
        Label("how", ENDINGS),
        roles=GATEWAYS,
        spec="heartbeat_drop_rate",
    ),
    counter(
        "imd_heartbeats_total", "Heartbeats that were answered.", roles=GATEWAYS, spec="heartbeat_drop_rate"
    ),
    counter(
        "imd_inbound_frames_total",
        "Frames from clients, by payload.",
        Label("type", FRAME_TYPES),
        roles=GATEWAYS,
        spec="inbound_qps",
    ),
    counter(
        "imd_inbound_bytes_total",
        "Bytes of these frames, as far as they were served.",
        Label("type", FRAME_TYPES),
        roles=GATEWAYS,
    ),
    counter(
        "imd_outbound_frames_total",
        "Frames handed to the transports, by priority; control are answers and ACKs.",
        Label("priority", PRIORITIES),
        roles=GATEWAYS,
        spec="outbound_qps",
    ),
    counter(
        "imd_outbound_bytes_total",
        "Bytes handed to the transports, as protobuf; JSON and TLS make more of them.",
        roles=GATEWAYS,
    ),
    counter(
        "imd_outbound_writes_total",
        "Times that something was handed to a transport; fewer than frames, since they are joined.",
        roles=GATEWAYS,
    ),
    counter(
        "imd_backpressure_events_total",
        "A peer's transport is full; its queue was dropped and it was told to resync, or it was cut off; it is not "
        "read since too many of its sends wait; a send found the node's queue above its water mark.",
        Label("event", BACKPRESSURE),
        roles=GATEWAYS,
        spec="backpressure_events",
    ),
    counter(
        "imd_refusals_total",
        "Requests and sends that were answered by an error, by its code (spec 10.1).",
        Label("code", CODES),
        roles=GATEWAYS,
    ),
    counter(
        "imd_rate_limited_total",
        "Frames and sends above a rate, by whose it is.",
        Label("limit", RATES),
        roles=GATEWAYS,
    ),
)
