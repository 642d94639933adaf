"""What a worker process is told to do, and what it answers: JSON lines over its stdin and stdout."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field


class DevicePlan(Struct, frozen=True):
    """One connection."""

    index: int
    token: str
    device_id: str
    conversations: list[str]
    sends: bool = False

    def __repr__(self) -> str:
        return f"DevicePlan({self.index}, {self.device_id!r})"


class WorkerPlan(Struct, frozen=True, kw_only=True):
    """The first line a worker reads."""

    #: Of the nodes; the devices are dealt out to them in turn.
    addresses: list[tuple[str, int]]
    devices: list[DevicePlan]
    window: int = 16
    #: This worker's share of --rate, 0 for as fast as the windows allow.
    rate_per_s: float = 0.0
    text_bytes: int = 32
    #: Whether one delivery goes to many devices of this worker.
    many_receivers: bool = False
    #: Wait a random part of this before coming back.
    jitter_s: float = 1.0
    heartbeat_s: float = 30.0
    #: Connections being opened at once.
    connecting: int = 200
    #: Local addresses to connect from; more than one when ports would run out.
    sources: list[str] = field(default_factory=list)


class Order(Struct, frozen=True, kw_only=True):
    """A line to a running worker."""

    #: connect: open ``count`` connections in all; go: send; drop: cut all connections;
    #: stop: send nothing new; check: wait until all of ``stored`` is there, then report and end.
    do: Literal["connect", "go", "drop", "stop", "check"]
    count: int = 0
    timeout_s: float = 0.0
    #: By conversation, the seqs ACKed to senders in other workers.
    stored: dict[str, list[int]] = field(default_factory=dict)


class Report(Struct, frozen=True, kw_only=True):
    """A line from a worker."""

    #: connected: as many as ordered; progress: each second; back: all are back after a drop;
    #: stopping: the order has come, counts are of this moment;
    #: stopped: every send has its final ACK or the wait is over; final: the last line.
    what: Literal["connected", "progress", "back", "stopping", "stopped", "final"]
    counts: dict[str, int]
    #: Monotonic clock, same for all processes of this machine.
    at_ns: int
    errors: list[str] = field(default_factory=list)
    #: stopped: what this worker's senders have ACKed; only conversations shared with other workers need it.
    stored: dict[str, list[int]] = field(default_factory=dict)
    #: (bucket, count), see ``tally.Latencies``.
    delivery_latency: list[tuple[int, int]] = field(default_factory=list)
    ack_latency: list[tuple[int, int]] = field(default_factory=list)
    lateness: list[tuple[int, int]] = field(default_factory=list)
    delivery_max_ns: int = 0
    ack_max_ns: int = 0
    lateness_max_ns: int = 0
    lost: int = 0
    #: Sends without a final ACK when the wait was over.
    unsettled: int = 0
    cpu_s: float = 0.0
    #: Where something was lost, in words.
    findings: list[str] = field(default_factory=list)
