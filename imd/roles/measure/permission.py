"""What a permission check costs a core node.

The cached check is measured as the way of a message has it. For checks that miss, a business role answers on
SQLite: in this process, or in one of its own behind a nats-server.
"""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred

from imd.bus.local import LocalBus
from imd.bus.port import Bus
from imd.client.load.server import ProcessMeter
from imd.client.load.tally import Latencies, percentile_ms
from imd.core.directory import GROUP, MEMBER, MESSAGE, Membership
from imd.core.directory_bus import BusDirectory
from imd.core.permission.codec import decode_membership, encode_membership
from imd.core.permission.decide import refusal
from imd.core.permission.restricted import RestrictedFilter
from imd.core.permission.snapshots import MembershipCache
from imd.kernel.clocks import Clock, system_wall_clock
from imd.kernel.errors import StartupError
from imd.kernel.timeouts import sleep
from imd.pb.bus_pb2 import MembersAnswer
from imd.roles.measure.authority import GROUP_MEMBERS, Town, answer, stop
from imd.roles.measure.nats_server import NatsServer, bus_to

#: What ``tools/bench permission`` promises; above, the exit code is 1.
MOST: Final = {
    "cached_check_us": 3.0,
    "miss_p99_ms": 5.0,
    "misses_failed": 0,
    "group_created_s": 2.0,
    "group_loaded_ms": 100.0,
    "group_bytes": 2_000_000,
    "group_bytes_all_restricted": 2_000_000,
}
_CHECKS: Final = 20_000
_REPEATS: Final = 9
_LOADS: Final = 9
_TICK_S: Final = 0.001
_SETTLE_S: Final = 5.0


def best_us(check: Callable[[], object]) -> float:
    """Of one call, in the quietest of some runs: the others measure who else is on the machine."""
    spans = []
    for _ in range(_REPEATS):
        begun_ns = time.perf_counter_ns()
        for _ in range(_CHECKS):
            check()
        spans.append(time.perf_counter_ns() - begun_ns)
    return round(min(spans) / _CHECKS / 1000, 3)


def large_group(*, restricted: bool) -> Membership:
    """Ids as they are given: no two of them are one object."""
    user_ids = [(1 << 60) + 4096 * number for number in range(GROUP_MEMBERS)]
    some = {user_id: 1_000_000 + number for number, user_id in enumerate(user_ids)} if restricted else {}
    return Membership("g_large", GROUP, 1, dict.fromkeys(user_ids, MEMBER), visible_from=some)


def decoded_bytes(membership: Membership) -> int:
    """What a node keeps of an answer of business."""
    payload = encode_membership(membership).SerializeToString()
    tracemalloc.start()
    try:
        kept = decode_membership(membership.conversation_id, MembersAnswer.FromString(payload))
        return tracemalloc.get_traced_memory()[0] if kept else 0
    finally:
        tracemalloc.stop()


class Checks:
    """A core node's view of the conversations."""

    def __init__(self, bus: Bus, clock: Clock, town: Town, authority: ProcessMeter | None = None) -> None:
        self._clock = clock
        self._town = town
        self._authority = authority
        self.cache = MembershipCache(directory=BusDirectory(bus=bus), clock=clock, random=Random().random)
        self._latencies = Latencies()
        self._failed = 0
        self._under_way = 0

    async def cached(self) -> dict[str, float]:
        """Looks at what is known, and decides."""
        found: dict[str, float] = {}
        for name, conversation_id in (("", self._town.direct[0]), ("_large_group", self._town.group)):
            membership = await self.cache.get(conversation_id)
            assert membership is not None
            user_id = next(iter(membership.roles))
            found[f"cached_check{name}_us"] = best_us(self._check(conversation_id, user_id))
        restricted = RestrictedFilter()
        found["filter_look_us"] = best_us(lambda: restricted.may_contain("g_1", 1 << 60))
        return found

    def _check(self, conversation_id: str, user_id: int) -> Callable[[], object]:
        peek, wall_clock = self.cache.peek, system_wall_clock
        return lambda: refusal(peek(conversation_id), user_id, MESSAGE, wall_clock())

    async def loads(self) -> dict[str, float]:
        """The large group, from the question to the answer."""
        spans = []
        for _ in range(_LOADS):
            self.cache.forget(self._town.group)
            begun_s = self._clock.seconds()
            membership = await self.cache.get(self._town.group)
            spans.append((self._clock.seconds() - begun_s) * 1000)
            assert membership is not None and len(membership.roles) == GROUP_MEMBERS
        return {
            "group_loaded_ms": round(sorted(spans)[_LOADS // 2], 2),
            "group_loaded_first_ms": round(spans[0], 2),
        }

    async def misses(self, *, rate_per_s: float, seconds: float) -> dict[str, Any]:
        """Questions at a steady rate, whether the ones before are answered or not; counted from when each was due."""
        begun_s = self._clock.seconds()
        cpu_s, authority_s = time.process_time(), self._authority_s()
        asked = 0
        while (elapsed_s := self._clock.seconds() - begun_s) < seconds:
            while asked < elapsed_s * rate_per_s:
                self._miss(self._town.direct[asked % len(self._town.direct)], begun_s + asked / rate_per_s)
                asked += 1
            await sleep(_TICK_S, clock=self._clock)
        cpu_s, authority_s = time.process_time() - cpu_s, self._authority_s() - authority_s
        for _ in range(int(_SETTLE_S / _TICK_S)):
            if not self._under_way:
                break
            await sleep(_TICK_S, clock=self._clock)
        pairs = self._latencies.pairs()
        return {
            "misses": asked,
            "misses_failed": self._failed + self._under_way,
            "miss_p50_ms": percentile_ms(pairs, 0.5),
            "miss_p99_ms": percentile_ms(pairs, 0.99),
            "core_cpu_us_per_miss": round(cpu_s / asked * 1e6, 1),
            "business_cpu_us_per_miss": round(authority_s / asked * 1e6, 1),
        }

    def _authority_s(self) -> float:
        """CPU of the business role, where it has a process of its own."""
        return self._authority.cpu_s() if self._authority is not None else 0.0

    def _miss(self, conversation_id: str, due_s: float) -> None:
        self.cache.forget(conversation_id)
        self._under_way += 1
        Deferred.fromCoroutine(self.cache.get(conversation_id)).addBoth(self._answered, due_s)

    def _answered(self, outcome: object, due_s: float) -> None:
        self._under_way -= 1
        if isinstance(outcome, Membership):
            self._latencies.add(int((self._clock.seconds() - due_s) * 1e9))
        else:
            self._failed += 1


async def measure(checks: Checks, town: Town, *, rate_per_s: float, seconds: float) -> dict[str, Any]:
    """All of it, in the order in which it is shown."""
    result: dict[str, Any] = await checks.cached()
    result |= await checks.misses(rate_per_s=rate_per_s, seconds=seconds)
    result["group_created_s"] = town.group_created_s
    result |= await checks.loads()
    result["group_bytes"] = decoded_bytes(large_group(restricted=False))
    result["group_bytes_all_restricted"] = decoded_bytes(large_group(restricted=True))
    return result


async def in_one_process(reactor: Any, folder: Path, *, rate_per_s: float, seconds: float) -> dict[str, Any]:
    """As in ``twistd im``."""
    bus = LocalBus(clock=reactor)
    await bus.start()
    answering = await answer(folder, bus, reactor=reactor)
    town = answering.town
    try:
        return await measure(Checks(bus, reactor, town), town, rate_per_s=rate_per_s, seconds=seconds)
    finally:
        await stop(answering.role.stages)
        await bus.stop()


async def over_nats(reactor: Any, folder: Path, *, rate_per_s: float, seconds: float) -> dict[str, Any]:
    """As in a cluster: core here, business in a process of its own, a server between them.

    :raises StartupError: there is no nats-server, or business does not come up.
    """
    with ExitStack() as cleanup:
        server = NatsServer(folder / "nats")
        cleanup.callback(server.stop)
        authority = _authority(folder, server.address)
        cleanup.callback(authority.wait)
        # Its threads would outlast an end in order.
        cleanup.callback(authority.kill)
        assert authority.stdout is not None
        try:
            town = msgspec.json.decode(authority.stdout.readline(), type=Town)
        except msgspec.DecodeError:
            raise StartupError("the business role did not come up") from None
        bus = bus_to(server.address, "core", reactor=reactor)
        await bus.start()
        checks = Checks(bus, reactor, town, ProcessMeter(authority.pid))
        try:
            return await measure(checks, town, rate_per_s=rate_per_s, seconds=seconds)
        finally:
            await bus.stop()


def _authority(folder: Path, address: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "imd.roles.measure", "--serve", address, "--folder", str(folder)],
        stdout=subprocess.PIPE,
    )
