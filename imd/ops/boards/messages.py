"""The way of a message: taken in, numbered, written, told."""

from __future__ import annotations

from imd.ops.boards.model import Board, Panel, Query, Row
from imd.ops.boards.queries import chosen, latency, mean, quantile, rate

BOARD = Board(
    "messages",
    "Messages",
    "From a send to its STORED, and on to its receivers; which step takes the time.",
    (
        Row(
            "Sends",
            (
                Panel(
                    "Sends by what they were told",
                    "A second. failed: provably not stored; duplicate: sent again and known; held: for review.",
                    "cps",
                    (Query(rate("imd_sends_total", by="outcome"), "{{outcome}}"),),
                    stack=True,
                ),
                latency(
                    "imd_ack_seconds",
                    "From a send to its STORED",
                    "All of it, at the node of the sender.",
                ),
                Panel(
                    "Queue",
                    "Sends without a final answer, of those that the node takes (queue_size). From 70 % on it refuses "
                    "what matters least.",
                    "percentunit",
                    (Query(chosen("instance:imd_sends_unsettled:ratio"), "{{instance}}"),),
                ),
            ),
        ),
        Row(
            "Writes",
            (
                latency(
                    "imd_assign_seq_seconds",
                    "Waiting for a seq",
                    "How long the oldest send of a batch waited until it was written: rises with the store.",
                ),
                latency("imd_write_seconds", "Writing a batch", "Until it was durable, or had failed."),
                Panel(
                    "Messages a write",
                    "Mean size of a batch. 1 at low load, up to 200.",
                    "short",
                    (Query(mean("imd_batch_write_messages"), "{{instance}}"),),
                ),
                Panel(
                    "Writes tried again, by cause",
                    "busy: the store has no room; unknown: its answer got lost; outrun: another node was faster.",
                    "cps",
                    (Query(rate("imd_write_retries_total", by="cause"), "{{cause}}"),),
                    stack=True,
                ),
            ),
        ),
        Row(
            "Stored",
            (
                Panel(
                    "Stored",
                    "Messages that became durable by the node's writes, a second.",
                    "cps",
                    (Query(rate("imd_messages_stored_total"), "{{instance}}"),),
                    stack=True,
                ),
                Panel(
                    "Bytes stored",
                    "Of these messages, a second.",
                    "Bps",
                    (Query(rate("imd_messages_stored_bytes_total"), "{{instance}}"),),
                    stack=True,
                ),
                Panel(
                    "Store down",
                    "1 while the node cannot store, all retries being used up.",
                    "short",
                    (Query(chosen("imd_message_store_down"), "{{instance}}"),),
                ),
            ),
        ),
        Row(
            "Fan-out",
            (
                Panel(
                    "Told, by mode",
                    "Messages told to the members here, a second: pushed whole, or hinted at.",
                    "cps",
                    (Query(rate("imd_fanout_messages_total", by="mode"), "{{mode}}"),),
                    stack=True,
                ),
                latency(
                    "imd_fanout_seconds",
                    "Time of a fan-out",
                    "How long the telling of a batch kept the reactor. Above 200 ms a conversation is hinted.",
                ),
                Panel(
                    "Messages a fan-out",
                    "99th percentile of the batch.",
                    "short",
                    (Query(quantile(0.99, "imd_fanout_batch_messages"), "{{instance}}"),),
                ),
                Panel(
                    "Waiting",
                    "Conversations whose fan-out waits: for who is in, or for the next hint.",
                    "short",
                    (
                        Query(
                            f"sum by (instance, waits_for) ({chosen('imd_fanout_queue_length')})",
                            "{{instance}} {{waits_for}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "Repairs, and reading back",
            (
                Panel(
                    "Repaired by the sweep",
                    "Conversations whose last message had been told to nobody, a second; up to 20 s late.",
                    "cps",
                    (
                        Query(rate("imd_tail_repairs_total"), "{{instance}} repaired"),
                        Query(rate("imd_fanout_failures_total"), "{{instance}} fan-outs failed"),
                    ),
                ),
                latency("imd_history_fetch_seconds", "History", "How long a question for history took."),
                latency(
                    "imd_sync_seconds", "Sync", "How long a sync request took, after a connect or a gap."
                ),
                Panel(
                    "Conversations in use",
                    "Of which the node knows the last seq or the members.",
                    "short",
                    (Query(chosen("imd_conversations_live"), "{{instance}}"),),
                ),
            ),
        ),
    ),
)
