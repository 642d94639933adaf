"""Connections, what comes in and goes out over them, and who is refused."""

from __future__ import annotations

from imd.ops.boards.model import Board, Panel, Query, Row
from imd.ops.boards.queries import chosen, rate

BOARD = Board(
    "gateway",
    "Gateway",
    "Clients: how they connect and leave, what they send and get, what is refused.",
    (
        Row(
            "Connections",
            (
                Panel(
                    "Connections",
                    "live ones have said who they are, strangers have not yet.",
                    "short",
                    (
                        Query(
                            f"sum by (instance, state) ({chosen('imd_connections')})",
                            "{{instance}} {{state}}",
                        ),
                    ),
                    stack=True,
                ),
                Panel(
                    "Room",
                    "Connections of those that the node may have (max_connections).",
                    "percentunit",
                    (
                        Query(
                            f"sum by (instance) ({chosen('imd_connections')}) / "
                            f"sum by (instance) ({chosen('imd_connections_limit')})",
                            "{{instance}}",
                        ),
                    ),
                ),
                Panel(
                    "Heartbeats lost",
                    "Of those that should have come: clients that vanish without a word. 0.5 % is the limit.",
                    "percentunit",
                    (Query(chosen("instance:imd_heartbeat_drops:ratio5m"), "{{instance}}"),),
                ),
            ),
        ),
        Row(
            "Coming and going",
            (
                Panel(
                    "Opened",
                    "Connections that were let in, a second.",
                    "cps",
                    (Query(rate("imd_connections_opened_total"), "{{instance}}"),),
                ),
                Panel(
                    "Ended, by how",
                    "left: the peer or the network; silent: no heartbeat; expired: no fresh token; unread: it does not "
                    "read; kicked: by another device or an operator.",
                    "cps",
                    (Query(rate("imd_connections_closed_total", by="how"), "{{how}}"),),
                    stack=True,
                ),
                Panel(
                    "Not let in, by reason",
                    "draining: the node goes down; full; strangers: too many that do not log in; rate: too many from one "
                    "address.",
                    "cps",
                    (Query(rate("imd_connections_refused_total", by="reason"), "{{reason}}"),),
                    stack=True,
                ),
            ),
        ),
        Row(
            "Traffic",
            (
                Panel(
                    "Frames from clients, by type",
                    "A second.",
                    "cps",
                    (Query(rate("imd_inbound_frames_total", by="type"), "{{type}}"),),
                    stack=True,
                ),
                Panel(
                    "Frames to clients, by priority",
                    "A second. control are answers and ACKs.",
                    "cps",
                    (Query(rate("imd_outbound_frames_total", by="priority"), "{{priority}}"),),
                    stack=True,
                ),
                Panel(
                    "Bytes",
                    "In both directions, a second.",
                    "Bps",
                    (
                        Query(rate("imd_inbound_bytes_total"), "{{instance}} in"),
                        Query(rate("imd_outbound_bytes_total"), "{{instance}} out"),
                    ),
                ),
                Panel(
                    "Frames a write",
                    "How many frames are joined in one write to a transport; more means more throughput for its CPU.",
                    "short",
                    (
                        Query(
                            f"{rate('imd_outbound_frames_total')} / {rate('imd_outbound_writes_total')}",
                            "{{instance}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "Back-pressure and refusals",
            (
                Panel(
                    "Back-pressure, by event",
                    "write_blocked: a peer does not read; queue_shed: its queue was dropped, it resyncs; "
                    "admission_refused: a send found the node's queue above a water mark.",
                    "cps",
                    (Query(rate("imd_backpressure_events_total", by="event"), "{{event}}"),),
                ),
                Panel(
                    "Connections that do not read",
                    "Their peers' windows are full, now.",
                    "short",
                    (Query(chosen("imd_connections_blocked"), "{{instance}}"),),
                ),
                Panel(
                    "Errors, by code",
                    "Requests and sends that were answered by an error, a second (spec 10.1).",
                    "cps",
                    (Query(rate("imd_refusals_total", by="code"), "{{code}}"),),
                    stack=True,
                ),
                Panel(
                    "Above a rate, by whose",
                    "Frames and sends that were refused by [limits] and [quotas], a second.",
                    "cps",
                    (Query(rate("imd_rate_limited_total", by="limit"), "{{limit}}"),),
                    stack=True,
                ),
            ),
        ),
    ),
)
