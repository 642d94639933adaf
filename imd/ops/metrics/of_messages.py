"""Of the message pipeline: from being sent to being told (spec 7.4, 9, 11.1, 23.2)."""

from __future__ import annotations

from imd.ops.metrics.buckets import ACK, BATCH, FANOUT, HISTORY, WRITE
from imd.ops.metrics.model import GATEWAYS, Label, Metric, counter, gauge, histogram

#: How a send ends for the device that sent it. DELAYED is no end, but says that one is late.
OUTCOMES = ("stored", "duplicate", "failed", "delayed", "held")
RETRY_CAUSES = ("busy", "unknown", "outrun")

METRICS: tuple[Metric, ...] = (
    counter(
        "imd_sends_total",
        "Sends of clients connected here, by what they were told.",
        Label("outcome", OUTCOMES),
        roles=GATEWAYS,
    ),
    histogram(
        "imd_ack_seconds",
        "From the taking in of a send to the STORED that answers it, at the node of its sender; of one send in eight.",
        ACK,
        roles=GATEWAYS,
    ),
    gauge("imd_sends_unsettled", "Sends that were taken in and have no final answer yet.", roles=GATEWAYS),
    gauge(
        "imd_sends_unsettled_limit",
        "queue_size of [messages]; water marks at 70, 85 and 95 %.",
        roles=GATEWAYS,
    ),
    histogram(
        "imd_assign_seq_seconds",
        "How long a send waited for its seq; one of the oldest of each batch.",
        ACK,
        roles=GATEWAYS,
        spec="assign_seq_latency",
    ),
    histogram(
        "imd_batch_write_messages",
        "Messages in one write to the message store.",
        BATCH,
        roles=GATEWAYS,
        spec="batch_write_size",
    ),
    histogram(
        "imd_write_seconds",
        "How long a write of a batch took until it was durable, or had failed.",
        WRITE,
        roles=GATEWAYS,
        spec="p99_write_latency",
    ),
    counter(
        "imd_messages_stored_total", "Messages that became durable by this node's writes.", roles=GATEWAYS
    ),
    counter("imd_messages_stored_bytes_total", "Bytes of these messages.", roles=GATEWAYS),
    counter(
        "imd_write_retries_total",
        "Writes of a batch that have to be tried again: the store was busy, its answer is not known, or another node "
        "wrote there first.",
        Label("cause", RETRY_CAUSES),
        roles=GATEWAYS,
        spec="retry_count",
    ),
    gauge(
        "imd_message_store_down",
        "1 while the message store takes no writes, all retries being used up.",
        roles=GATEWAYS,
    ),
    gauge("imd_conversations_live", "Conversations in use here.", roles=GATEWAYS),
    histogram(
        "imd_history_fetch_seconds",
        "How long a question for history took.",
        HISTORY,
        roles=GATEWAYS,
        spec="p99_history_fetch",
    ),
    histogram("imd_sync_seconds", "How long a sync request took.", HISTORY, roles=GATEWAYS),
    counter(
        "imd_fanout_messages_total",
        "Messages told to the members here: pushed whole, or hinted at.",
        Label("mode", ("push", "hint")),
        roles=GATEWAYS,
        spec="fanout_qps",
    ),
    counter(
        "imd_fanout_deliveries_total",
        "Messages times connections of members here, that of the sender included.",
        roles=GATEWAYS,
    ),
    histogram(
        "imd_fanout_batch_messages",
        "Messages of one conversation that were fanned out together.",
        BATCH,
        roles=GATEWAYS,
        spec="fanout_batch_size",
    ),
    histogram(
        "imd_fanout_seconds",
        "How long the fan-out of such a batch kept the reactor.",
        FANOUT,
        roles=GATEWAYS,
        spec="fanout_time_cost",
    ),
    gauge(
        "imd_fanout_queue_length",
        "Conversations whose fan-out waits: until it is known who is in, or until the next hint is due.",
        Label("waits_for", ("audience", "hint")),
        roles=GATEWAYS,
        spec="fanout_queue_length",
    ),
    counter("imd_fanout_failures_total", "Fan-outs that failed; the sweep repairs them.", roles=GATEWAYS),
    counter(
        "imd_fanout_slow_total",
        "Fan-outs that took longer than hint_fanout_ms, so that the conversation is hinted for a minute.",
        roles=GATEWAYS,
    ),
    counter(
        "imd_tail_repairs_total",
        "Conversations whose newest message had been told to nobody here, and was found by the sweep.",
        roles=GATEWAYS,
    ),
)
