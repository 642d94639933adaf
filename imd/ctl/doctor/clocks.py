"""Clocks: of this machine, and of each server against it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import NamedTuple

from imd.ctl.doctor.finding import Check, Finding
from imd.kernel.clocks import WallClock

SKEW = Check("clock.skew", "ids, tokens and the order of what is told rest on clocks that agree")
SYNCHRONISED = Check("clock.synchronised", "a clock that nobody sets drifts by seconds a day")
STEADY = Check("clock.steady", "a wall clock that jumps lets tokens end early, and ids wait for it")

#: Tokens are taken 30 s late and MongoDB is refused beyond that; before it people see times that are wrong.
WARN_S, FAIL_S = 1.0, 20.0
#: NTP slews by 0.5 ms a second at most.
STEP_S = 0.05
#: What adjtimex(2) says of a clock that nobody keeps right.
_TIME_ERROR = 5
_TIMEX_BYTES = 512


class Instant(NamedTuple):
    """When a server was asked for its time, and what it said."""

    asked_ms: float
    answered_ms: float
    said_ms: float

    @property
    def ahead_s(self) -> float:
        """How far its clock is ahead of ours, give or take ``doubt_s``."""
        return (self.said_ms - (self.asked_ms + self.answered_ms) / 2) / 1000

    @property
    def doubt_s(self) -> float:
        return (self.answered_ms - self.asked_ms) / 2000


def skew(about: str, instant: Instant) -> Finding:
    """Of a server's clock; what the way there may have taken counts for it."""
    off_s = max(0.0, abs(instant.ahead_s) - instant.doubt_s)
    found = f"its clock is {instant.ahead_s:+.3f} s from this machine's"
    do = "set both by NTP (chrony, systemd-timesyncd)"
    if off_s > FAIL_S:
        return SKEW.fail(about, found, do)
    if off_s > WARN_S:
        return SKEW.warn(about, found, do)
    return SKEW.ok(about, found)


def own_clock(
    *, wall_clock: WallClock, seconds: Callable[[], float], wait: Callable[[float], object]
) -> Iterator[Finding]:
    """This machine's.

    :param wait: for so many seconds, in which it is watched.
    """
    yield synchronised(kernel_state())
    wall_ms, monotonic_s = wall_clock(), seconds()
    wait(1.0)
    yield steady(wall_clock() - wall_ms, (seconds() - monotonic_s) * 1000)


def kernel_state() -> int | None:
    """What adjtimex(2) returns, asked and not set; None where there is no such call."""
    try:
        call = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    state = int(call(ctypes.create_string_buffer(_TIMEX_BYTES)))
    return state if state >= 0 else None


def synchronised(state: int | None) -> Finding:
    if state is None or state == _TIME_ERROR:
        said = "does not say whether" if state is None else "says that nobody"
        return SYNCHRONISED.note(
            "this machine", f"the kernel {said} keeps its clock right", "run chrony or systemd-timesyncd, here or on its host"
        )  # fmt: skip
    return SYNCHRONISED.ok("this machine", "its clock is kept right")


def steady(wall_ms: float, monotonic_ms: float) -> Finding:
    drift_s = (wall_ms - monotonic_ms) / 1000
    if abs(drift_s) > STEP_S:
        return STEADY.warn("this machine", f"its clock jumped by {drift_s:+.2f} s within a second",
                           "find out who sets it: two who do, or a hypervisor; let one slew it")  # fmt: skip
    return STEADY.ok("this machine", "its clock runs steadily")
