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
STEP_MS = 50.0
_WATCHED_S = 1.0
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


class Reading(NamedTuple):
    """Both clocks of this machine at one moment, as far as they can be read at one."""

    wall_ms: float
    monotonic_ms: float
    #: How far the two may be apart: whoever reads may be interrupted in between.
    doubt_ms: float


def own_clock(
    *, wall_clock: WallClock, seconds: Callable[[], float], wait: Callable[[float], object]
) -> Iterator[Finding]:
    """This machine's.

    :param wait: for so many seconds, in which it is watched.
    """

    def read() -> Reading:
        before_ms, wall_ms, after_ms = seconds() * 1000, wall_clock(), seconds() * 1000
        return Reading(wall_ms, (before_ms + after_ms) / 2, (after_ms - before_ms) / 2)

    yield synchronised(kernel_state())
    first = read()
    wait(_WATCHED_S)
    yield steady(first, read())


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


def steady(first: Reading, second: Reading) -> Finding:
    """Whether as much time went by on both."""
    jump_ms = (second.wall_ms - first.wall_ms) - (second.monotonic_ms - first.monotonic_ms)
    if abs(jump_ms) - first.doubt_ms - second.doubt_ms > STEP_MS:
        return STEADY.warn("this machine", f"its clock jumped by {jump_ms / 1000:+.2f} s while it was watched",
                           "find out who sets it: two who do, or a hypervisor; let one slew it")  # fmt: skip
    return STEADY.ok("this machine", "its clock runs steadily")
