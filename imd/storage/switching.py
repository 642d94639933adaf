"""How often Python lets another thread run."""

from __future__ import annotations

import sys

#: Python's 5 ms begin anew each time the reactor looks for events, so a reactor that is busy, but never for
#: 5 ms on end, starves all other threads: some commits took 1 to 2 seconds. With this, 99 of 100 commits beside
#: such a reactor took at most 18 ms in batches of 200 (17 beside an idle one), single rows 4 ms (0.6).
SWITCH_INTERVAL_S = 50e-6


def switch_often() -> None:
    """For a process in which threads do what the reactor waits for."""
    sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL_S))
