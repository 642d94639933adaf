"""Of the bus (spec 3.5, 24.1). What nats-server itself counts is at its own port: see docs/metrics.rst."""

from __future__ import annotations

from imd.ops.metrics.buckets import EVENT, QUESTION
from imd.ops.metrics.model import CLUSTER, IM, Label, Metric, counter, gauge, histogram

_DIRECTIONS = Label("direction", ("sent", "received"))
#: Of every durable subject that a role may consume.
SUBJECTS = (
    "im.auth.invalidate",
    "im.auth.update",
    "im.admin.config",
    "im.notification.push",
    "im.audit.log",
    "im.message.ack",
    "im.hook.message",
    "other",
)
_SUBJECT = Label("subject", SUBJECTS)
FAILURES = ("timed_out", "no_responder", "failed", "refused")

METRICS: tuple[Metric, ...] = (
    gauge("imd_nats_connected", "1 while there is a connection to NATS.", roles=CLUSTER),
    counter("imd_nats_reconnects_total", "Connections after the first.", roles=CLUSTER),
    counter("imd_nats_messages_total", "Messages on the connection.", _DIRECTIONS, roles=CLUSTER),
    counter("imd_nats_bytes_total", "Bytes of their payloads.", _DIRECTIONS, roles=CLUSTER),
    gauge(
        "imd_nats_client_pending_bytes",
        "Bytes that are to be sent and not handed to the network yet.",
        roles=CLUSTER,
        spec="nats_client_pending_bytes",
    ),
    gauge(
        "imd_nats_client_pending_messages",
        "Messages that are to be sent and not handed to the network yet.",
        roles=CLUSTER,
        spec="nats_client_pending_msgs",
    ),
    gauge(
        "imd_nats_pending",
        "What is under way: requests without an answer, handlers at work, durable events without a PubAck.",
        Label("what", ("requests", "handlers", "events")),
        roles=CLUSTER,
    ),
    counter(
        "imd_nats_slow_consumer_drops_total",
        "Messages dropped because a subscriber here was too slow.",
        roles=CLUSTER,
    ),
    counter(
        "imd_nats_not_permitted_total",
        "Times that the server did not permit what this role wanted; nats.conf and the user do not fit.",
        roles=CLUSTER,
    ),
    histogram(
        "imd_nats_request_seconds",
        "From a request to its answer.",
        QUESTION,
        roles=CLUSTER,
        spec="internal_call_latency",
    ),
    counter(
        "imd_nats_request_failures_total",
        "Requests without an answer, by why; refused ones were not even sent.",
        Label("reason", FAILURES),
        roles=CLUSTER,
    ),
    histogram(
        "imd_nats_publish_seconds",
        "From a durable event to its PubAck, retries included.",
        QUESTION,
        roles=CLUSTER,
    ),
    counter(
        "imd_nats_publish_failures_total",
        "Durable events that were not recorded, or of which that is not known.",
        roles=CLUSTER,
    ),
    gauge(
        "imd_nats_consumer_ack_pending",
        "Events that wait for this process behind the one it had last, as JetStream said with that one.",
        _SUBJECT,
        roles=CLUSTER,
        spec="nats_consumer_ack_pending",
    ),
    counter("imd_nats_consumer_events_total", "Durable events handled.", _SUBJECT, roles=CLUSTER),
    counter(
        "imd_nats_consumer_redelivered_total",
        "Durable events that came again.",
        _SUBJECT,
        roles=CLUSTER,
        spec="nats_consumer_redelivered",
    ),
    counter(
        "imd_nats_dead_letters_total",
        "Durable events that were given up, and are in the stream im-dead.",
        _SUBJECT,
        roles=CLUSTER,
    ),
    histogram(
        "imd_nats_consumer_seconds",
        "How long the handling of a durable event took.",
        EVENT,
        roles=CLUSTER,
        spec="nats_consumer_processing_time",
    ),
    gauge("imd_local_bus_in_flight", "Messages and requests handed over and not done with.", roles=(IM,)),
    counter("imd_local_bus_refused_total", "What was refused because too much waited already.", roles=(IM,)),
    counter("imd_local_bus_retries_total", "Durable events that are tried again.", roles=(IM,)),
    counter("imd_local_bus_dead_letters_total", "Durable events that were given up.", roles=(IM,)),
)
