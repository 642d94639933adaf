"""What the message pipeline counts."""

from __future__ import annotations

from collections.abc import Iterator

from imd.core.message.append import Appender
from imd.core.message.fanout import Fanout
from imd.core.message.live import LiveConversations
from imd.core.message.sends import Submit
from imd.core.message.sweep import TailSweep
from imd.ops.metrics.readings import Reading, Source, by_label


def messages_source(
    appender: Appender, *, submit: Submit, live: LiveConversations, fanout: Fanout, sweep: TailSweep
) -> Source:
    """From admission to the telling of the members here."""
    writes, told = appender.writes, fanout.counts

    def read() -> Iterator[Reading]:
        yield Reading("imd_sends_unsettled", submit.unsettled)
        yield Reading("imd_sends_unsettled_limit", appender.queue_size)
        yield Reading("imd_assign_seq_seconds", writes.assign_seq_seconds)
        yield Reading("imd_batch_write_messages", writes.batch_messages)
        yield Reading("imd_write_seconds", writes.write_seconds)
        yield Reading("imd_messages_stored_total", writes.stored)
        yield Reading("imd_messages_stored_bytes_total", writes.stored_bytes)
        yield from by_label("imd_write_retries_total", writes.retries)
        yield Reading("imd_message_store_down", writes.down > 0)
        yield Reading("imd_conversations_live", live.counts()["live"])
        yield from by_label("imd_fanout_messages_total", {"push": told.pushed, "hint": told.hinted})
        yield Reading("imd_fanout_deliveries_total", told.deliveries)
        yield Reading("imd_fanout_batch_messages", told.batch_messages)
        yield Reading("imd_fanout_seconds", told.seconds)
        waiting = {"audience": fanout.waiting_for_audience, "hint": fanout.waiting_for_hint}
        yield from by_label("imd_fanout_queue_length", waiting)
        yield Reading("imd_fanout_failures_total", told.failures)
        yield Reading("imd_fanout_slow_total", told.slow)
        yield Reading("imd_tail_repairs_total", sweep.repairs)

    return read
