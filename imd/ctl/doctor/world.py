"""What a check sees of the machine, as arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from imd.kernel.clocks import WallClock


class World(NamedTuple):
    """Clocks, environment, /proc."""

    environ: Mapping[str, str]
    wall_clock: WallClock
    #: Monotonic.
    seconds: Callable[[], float]
    #: Where Linux tells of its processes; checks that need it say so where there is none.
    proc: Path
