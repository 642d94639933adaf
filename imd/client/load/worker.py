"""A load process: reads a plan and orders from stdin, drives its devices, reports to stdout."""

from __future__ import annotations

import gc
import os
import random
import resource
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from imd.client.load.device import Device
from imd.client.load.frames import SendTemplate
from imd.client.load.plan import Order, Report, WorkerPlan
from imd.client.load.sender import Sender
from imd.client.load.shared import Shared
from imd.client.load.sockets import Sockets
from imd.client.load.verdict import Check, acknowledged
from imd.wire.codec import require_fast_protobuf

_POLL_S: Final = 0.02
#: epoll counts in milliseconds.
_PACED_POLL_S: Final = 0.001
_SECOND_NS: Final = 1_000_000_000
#: Devices are tended in so many slices a second, so that their DeliverAcks do not come at once.
_SLICES: Final = 50
_CHECK_EVERY_NS: Final = 100_000_000
_ORDERS_BYTES: Final = 1 << 20


def build_devices(plan: WorkerPlan, shared: Shared, clock_ns: Callable[[], int]) -> list[Device]:
    """The plan's devices; a sender sends into its first conversation."""
    text = ("The quick brown fox jumps over the lazy dog. " * (plan.text_bytes // 45 + 1))[: plan.text_bytes]
    devices = []
    for person in plan.devices:
        sender = None
        if person.sends:
            template = SendTemplate(conversation_id=person.conversations[0], text=text)
            sender = Sender(index=person.index, window=plan.window, template=template)
        devices.append(
            Device(
                token=person.token,
                device_id=person.device_id,
                conversations=person.conversations,
                sender=sender,
                shared=shared,
                clock_ns=clock_ns,
            )
        )
    return devices


class Worker:
    """The life of a load process; ``run`` returns when its final report is out."""

    def __init__(
        self,
        plan: WorkerPlan,
        *,
        read_orders: Callable[[], bytes],
        orders_fd: int | None,
        report: Callable[[bytes], None],
        clock_ns: Callable[[], int],
        rng: random.Random,
    ) -> None:
        self._plan = plan
        self._read_orders = read_orders
        self._report = report
        self._clock_ns = clock_ns
        self.shared = Shared(known={} if plan.many_receivers else None)
        self.devices = build_devices(plan, self.shared, clock_ns)
        self.sockets = Sockets(
            self.devices,
            addresses=plan.addresses,
            sources=plan.sources,
            connecting=plan.connecting,
            jitter_s=plan.jitter_s,
            clock_ns=clock_ns,
            rng=rng,
        )
        if orders_fd is not None:
            self.sockets.watch(orders_fd, self._orders_ready)
        self._orders: deque[Order] = deque()
        self._partial = b""
        self._check: Check | None = None
        self._awaited: tuple[str, int] | None = None
        self._wanted = 0
        self._cuts_seen = 0
        self._go_ns = 0
        self._paced = 0
        self._turn = 0
        self._slice = 0
        self._next_slice_ns = 0
        self._next_progress_ns = 0
        self._next_check_ns = 0
        self._senders = [link for link in self.sockets.links if link.device.sender is not None]
        self.done = False

    def _orders_ready(self) -> None:
        data = self._read_orders()
        if not data:
            self.done = True
        self.take_orders(data)

    def take_orders(self, data: bytes) -> None:
        """JSON lines, however they are cut; obeyed in the next turn."""
        *lines, self._partial = (self._partial + data).split(b"\n")
        self._orders.extend(msgspec.json.decode(line, type=Order) for line in lines if line)

    def run(self) -> None:
        try:
            while not self.done:
                self.turn()
        finally:
            self.sockets.close()

    def turn(self) -> None:
        """Serve the sockets once, then everything that goes by the clock."""
        paced = self._go_ns and self._plan.rate_per_s
        self.sockets.poll(self._until_due_s() if paced else _POLL_S)
        now_ns = self._clock_ns()
        if paced:
            self._pace(now_ns)
        if now_ns >= self._next_slice_ns:
            self._next_slice_ns = max(self._next_slice_ns + _SECOND_NS // _SLICES, now_ns)
            self.sockets.tend(now_ns)
            self._tend_slice(now_ns)
        while self._orders:
            self._obey(self._orders.popleft(), now_ns)
        if now_ns >= self._next_progress_ns:
            self._next_progress_ns = now_ns + _SECOND_NS
            self._say("progress")
        if now_ns >= self._next_check_ns:
            self._next_check_ns = now_ns + _CHECK_EVERY_NS
            self._watch_for_end(now_ns)

    def _until_due_s(self) -> float:
        due_ns = self._go_ns + (self._paced + 1) * _SECOND_NS / self._plan.rate_per_s
        return min(_POLL_S, max(_PACED_POLL_S, (due_ns - self._clock_ns()) / _SECOND_NS))

    def _pace(self, now_ns: int) -> None:
        """Send what is due by now, each message stamped with the moment it was due."""
        interval_ns = _SECOND_NS / self._plan.rate_per_s
        due = int((now_ns - self._go_ns) / interval_ns)
        senders = self._senders
        while self._paced < due:
            for _ in senders:
                link = senders[self._turn % len(senders)]
                self._turn += 1
                due_ns = self._go_ns + int((self._paced + 1) * interval_ns)
                if link.device.send_new(due_ns):
                    self._paced += 1
                    self.sockets.flush(link)
                    self.shared.lateness.add(self._clock_ns() - due_ns)
                    break
            else:
                return

    def _tend_slice(self, now_ns: int) -> None:
        links = self.sockets.links
        turns = max(1, round(self._plan.heartbeat_s))
        slice_number = self._slice % _SLICES
        beat = self._slice // _SLICES
        self._slice += 1
        for link in links[slice_number::_SLICES]:
            device = link.device
            device.tick(now_ns // 1_000_000, heartbeat=(link.number // _SLICES + beat) % turns == 0)
            if device.sender is not None and device.sender.again:
                device.out.extend(device.sender.due_again(now_ns))
            if device.out:
                self.sockets.flush(link)

    def _obey(self, order: Order, now_ns: int) -> None:
        deadline_ns = now_ns + int(order.timeout_s * 1e9)
        if order.do == "connect":
            self._wanted = min(order.count, len(self.devices))
            self.sockets.want(self._wanted)
            self._awaited = ("connected", deadline_ns)
        elif order.do == "go":
            self._go(now_ns)
        elif order.do == "drop":
            self.sockets.drop()
        elif order.do == "stop":
            self._say("stopping")
            self._go_ns = 0
            self.shared.refill = False
            self._awaited = ("stopped", deadline_ns)
        elif order.do == "check":
            self._check = Check(self.devices[: self._wanted], self.shared.ledger, elsewhere=order.stored)
            self._awaited = ("final", deadline_ns)
        self._watch_for_end(now_ns)

    def _go(self, now_ns: int) -> None:
        self._go_ns = now_ns
        if self._plan.rate_per_s:
            return
        self.shared.refill = True
        for link in self._senders:
            while link.device.send_new(self._clock_ns()):
                pass
            self.sockets.flush(link)

    def _unsettled(self) -> int:
        return sum(len(link.device.sender.pending) for link in self._senders if link.device.sender)

    def _watch_for_end(self, now_ns: int) -> None:
        """Report what the last order asked for once it is so, or its time is over."""
        if self.sockets.cut > self._cuts_seen and self.sockets.ready >= self._wanted:
            self._cuts_seen = self.sockets.cut
            self._say("back")
        if self._awaited is None:
            return
        what, deadline_ns = self._awaited
        late = now_ns >= deadline_ns
        if what == "connected" and (late or self.sockets.ready >= self._wanted):
            self._say("connected")
        elif what == "stopped" and (late or not self._unsettled()):
            # Only conversations that are shared with other processes matter to those.
            shared = self._plan.many_receivers
            self._say("stopped", stored=acknowledged(self.devices) if shared else {})
        elif what == "final" and self._check and (late or not self._check.missing()):
            self._final(self._check)
            self.done = True
        else:
            return
        self._awaited = None

    def _say(self, what: str, *, stored: dict[str, list[int]] | None = None) -> None:
        report = Report(
            what=what,  # type: ignore[arg-type]
            counts=self.shared.counts.as_dict() | {"cut": self.sockets.cut},
            at_ns=self._clock_ns(),
            errors=self.shared.errors,
            stored=stored or {},
            unsettled=self._unsettled(),
            cpu_s=time.process_time(),
        )
        self._report(msgspec.json.encode(report) + b"\n")

    def _final(self, check: Check) -> None:
        verdict = check.verdict()
        shared = self.shared
        counts = shared.counts.as_dict() | {"cut": self.sockets.cut}
        counts["duplicated"] += verdict.duplicated
        report = Report(
            what="final",
            counts=counts,
            at_ns=self._clock_ns(),
            errors=shared.errors,
            delivery_latency=shared.delivery_latency.pairs(),
            ack_latency=shared.ack_latency.pairs(),
            lateness=shared.lateness.pairs(),
            delivery_max_ns=shared.delivery_latency.max_ns,
            ack_max_ns=shared.ack_latency.max_ns,
            lateness_max_ns=shared.lateness.max_ns,
            lost=verdict.lost,
            unsettled=self._unsettled(),
            cpu_s=time.process_time(),
            findings=verdict.findings,
        )
        self._report(msgspec.json.encode(report) + b"\n")


def raise_file_limit() -> None:
    """As many sockets as the system lets this process have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> None:
    require_fast_protobuf()
    raise_file_limit()
    # Nothing here makes cycles, and a collection would look like a slow server.
    gc.disable()
    stdin_fd = sys.stdin.fileno()
    read = b""
    while b"\n" not in read:
        data = os.read(stdin_fd, _ORDERS_BYTES)
        if not data:
            return
        read += data
    line, _, rest = read.partition(b"\n")
    plan = msgspec.json.decode(line, type=WorkerPlan)

    def report(line: bytes) -> None:
        while line:
            line = line[os.write(1, line) :]

    worker = Worker(
        plan,
        read_orders=lambda: os.read(stdin_fd, _ORDERS_BYTES),
        orders_fd=stdin_fd,
        report=report,
        clock_ns=time.monotonic_ns,
        rng=random.SystemRandom(),
    )
    worker.take_orders(rest)
    worker.run()


if __name__ == "__main__":
    main()
