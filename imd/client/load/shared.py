"""What all devices of a process have in common: where they count."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from imd.client.load.frames import Delivery
from imd.client.load.tally import Counts, Latencies, Ledger

_KEPT_ERRORS: Final = 5


@dataclass(kw_only=True)
class Shared:
    """What all devices of a process count into."""

    counts: Counts = field(default_factory=Counts)
    delivery_latency: Latencies = field(default_factory=Latencies)
    ack_latency: Latencies = field(default_factory=Latencies)
    #: With --rate: how long after it was due a message left, because this process was slow or no window had room.
    lateness: Latencies = field(default_factory=Latencies)
    ledger: Ledger = field(default_factory=Ledger)
    #: Deliveries already parsed, when one body goes to many devices; None when that is rare.
    known: dict[bytes, Delivery] | None = None
    #: Whether an ACK makes room for the next send at once (no --rate).
    refill: bool = False
    #: The first few errors of the server, in words.
    errors: list[str] = field(default_factory=list)

    def complain(self, text: str) -> None:
        self.counts.errors += 1
        if len(self.errors) < _KEPT_ERRORS:
            self.errors.append(text)
