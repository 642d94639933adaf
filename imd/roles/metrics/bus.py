"""What the bus counts."""

from __future__ import annotations

from collections.abc import Iterator

from imd.bus.local import LocalBus
from imd.bus.nats import NatsBus
from imd.ops.metrics.of_bus import SUBJECTS
from imd.ops.metrics.readings import Reading, Source, by_label

_OTHER = "other"


def nats_source(bus: NatsBus) -> Source:
    """Between processes."""

    def read() -> Iterator[Reading]:
        counts = bus.counts()
        yield Reading("imd_nats_connected", bus.is_connected())
        yield Reading("imd_nats_reconnects_total", counts["reconnects"])
        for direction in ("sent", "received"):
            yield Reading("imd_nats_messages_total", counts[direction], (direction,))
            yield Reading("imd_nats_bytes_total", counts[f"{direction}_bytes"], (direction,))
        yield Reading("imd_nats_client_pending_bytes", counts["pending_bytes"])
        yield Reading("imd_nats_client_pending_messages", counts["pending_messages"])
        for what in ("requests", "handlers", "events"):
            yield Reading("imd_nats_pending", counts[f"pending_{what}"], (what,))
        yield Reading("imd_nats_slow_consumer_drops_total", counts["dropped_by_slow_consumers"])
        yield Reading("imd_nats_not_permitted_total", counts["not_permitted"])
        yield Reading("imd_nats_request_seconds", bus.requests.seconds)
        yield from by_label("imd_nats_request_failures_total", bus.requests.failures)
        yield Reading("imd_nats_publish_seconds", bus.publications.seconds)
        yield Reading("imd_nats_publish_failures_total", bus.publications.failures)
        yield Reading("imd_nats_consumer_seconds", bus.consumer_seconds)
        yield from _consumers(bus)

    return read


def _consumers(bus: NatsBus) -> Iterator[Reading]:
    for pattern, consumer in bus.consumers():
        subject = (pattern if pattern in SUBJECTS else _OTHER,)
        yield Reading("imd_nats_consumer_ack_pending", consumer.behind, subject)
        yield Reading("imd_nats_consumer_events_total", consumer.handled, subject)
        yield Reading("imd_nats_consumer_redelivered_total", consumer.redelivered, subject)
        yield Reading("imd_nats_dead_letters_total", consumer.buried, subject)


def local_bus_source(bus: LocalBus) -> Source:
    """Within one process."""

    def read() -> Iterator[Reading]:
        counts = bus.counts()
        yield Reading("imd_local_bus_in_flight", counts["in_flight"])
        yield Reading("imd_local_bus_refused_total", counts["refused"])
        yield Reading("imd_local_bus_retries_total", counts["retries"])
        yield Reading("imd_local_bus_dead_letters_total", counts["dead_letters"])

    return read
