"""What goes between the nodes."""

from __future__ import annotations

from imd.ops.boards.model import Board, Panel, Query, Row
from imd.ops.boards.queries import chosen, latency, rate

BOARD = Board(
    "bus",
    "Bus",
    "NATS and JetStream as the nodes see them; in one process, the bus inside it.",
    (
        Row(
            "Connection",
            (
                Panel(
                    "Cut off",
                    "Nodes without a connection to NATS.",
                    "short",
                    (Query("count(imd_nats_connected == 0) or vector(0)", "nodes"),),
                    kind="stat",
                    bad_above=1,
                ),
                Panel(
                    "Connected again",
                    "Connections after the first, within the interval.",
                    "short",
                    (
                        Query(
                            f"increase({chosen('imd_nats_reconnects_total')}[$__rate_interval])",
                            "{{instance}}",
                        ),
                    ),
                ),
                Panel(
                    "Not sent yet",
                    "What the network has not taken, of the 1 MB or 1,000 messages from which on nothing more is sent.",
                    "percentunit",
                    (
                        Query(f"{chosen('imd_nats_client_pending_bytes')} / 1048576", "{{instance}} bytes"),
                        Query(
                            f"{chosen('imd_nats_client_pending_messages')} / 1000", "{{instance}} messages"
                        ),
                    ),
                ),
                Panel(
                    "Dropped",
                    "Messages that a subscriber here was too slow for, a second.",
                    "cps",
                    (Query(rate("imd_nats_slow_consumer_drops_total"), "{{instance}}"),),
                ),
            ),
        ),
        Row(
            "Traffic",
            (
                Panel(
                    "Messages",
                    "A second.",
                    "cps",
                    (
                        Query(
                            rate("imd_nats_messages_total", by="instance, direction"),
                            "{{instance}} {{direction}}",
                        ),
                    ),
                ),
                Panel(
                    "Bytes",
                    "Of their payloads, a second.",
                    "Bps",
                    (
                        Query(
                            rate("imd_nats_bytes_total", by="instance, direction"),
                            "{{instance}} {{direction}}",
                        ),
                    ),
                ),
                Panel(
                    "Under way",
                    "Requests without an answer, handlers at work, durable events without a PubAck.",
                    "short",
                    (Query(f"sum by (what) ({chosen('imd_nats_pending')})", "{{what}}"),),
                ),
            ),
        ),
        Row(
            "Requests",
            (
                latency("imd_nats_request_seconds", "Time of a request", "Until its answer; 2 s at most."),
                Panel(
                    "Without an answer, by why",
                    "A second. no_responder: none of that role is ready.",
                    "cps",
                    (Query(rate("imd_nats_request_failures_total", by="reason"), "{{reason}}"),),
                    stack=True,
                ),
                latency(
                    "imd_nats_publish_seconds",
                    "Time to record an event",
                    "From a durable event to its PubAck, retries included.",
                ),
                Panel(
                    "Not recorded",
                    "Durable events that were not recorded, or of which that is not known, a second.",
                    "cps",
                    (Query(rate("imd_nats_publish_failures_total"), "{{instance}}"),),
                ),
            ),
        ),
        Row(
            "Consumers (spec 3.5)",
            (
                Panel(
                    "Waiting, by subject",
                    "Durable events behind the last one that a node had. 1,000 is the limit.",
                    "short",
                    (
                        Query(
                            f"max by (subject) ({chosen('imd_nats_consumer_ack_pending')})",
                            "{{subject}}",
                        ),
                    ),
                ),
                Panel(
                    "Handled, by subject",
                    "A second.",
                    "cps",
                    (Query(rate("imd_nats_consumer_events_total", by="subject"), "{{subject}}"),),
                    stack=True,
                ),
                Panel(
                    "Came again",
                    "Share of the events, by subject. 1 % is the limit.",
                    "percentunit",
                    (
                        Query(
                            f"{rate('imd_nats_consumer_redelivered_total', by='subject')} / "
                            f"{rate('imd_nats_consumer_events_total', by='subject')}",
                            "{{subject}}",
                        ),
                    ),
                ),
                latency("imd_nats_consumer_seconds", "Time of handling", "Of an event. 500 ms is the limit."),
            ),
        ),
        Row(
            "Given up, and one process",
            (
                Panel(
                    "Dead letters",
                    "Events that were given up since the nodes' starts; they are in im-dead or dead_letter.",
                    "short",
                    (
                        Query(f"sum by (subject) ({chosen('imd_nats_dead_letters_total')})", "{{subject}}"),
                        Query(chosen("imd_local_bus_dead_letters_total"), "{{instance}}"),
                    ),
                ),
                Panel(
                    "In one process: under way",
                    "Messages and requests handed over and not done with.",
                    "short",
                    (Query(chosen("imd_local_bus_in_flight"), "{{instance}}"),),
                ),
                Panel(
                    "In one process: tried again, refused",
                    "Durable events that are tried again, and what was refused because too much waited; a second.",
                    "cps",
                    (
                        Query(rate("imd_local_bus_retries_total"), "{{instance}} again"),
                        Query(rate("imd_local_bus_refused_total"), "{{instance}} refused"),
                    ),
                ),
            ),
        ),
    ),
)
