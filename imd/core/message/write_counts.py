"""What the writers of a node count."""

from __future__ import annotations

from imd.kernel.histogram import Histogram
from imd.ops.metrics.buckets import ACK, BATCH, WRITE
from imd.ops.metrics.of_messages import RETRY_CAUSES


class WriteCounts:
    """Of all partitions together, once a batch."""

    def __init__(self) -> None:
        self.assign_seq_seconds = Histogram(ACK.bounds)
        self.batch_messages = Histogram(BATCH.bounds)
        self.write_seconds = Histogram(WRITE.bounds)
        self.stored = 0
        self.stored_bytes = 0
        self.retries = dict.fromkeys(RETRY_CAUSES, 0)
        #: Partitions that take no writes now.
        self.down = 0
