"""Time, as an argument.

Two clocks, never mixed: a ``Clock`` is monotonic and drives timers, time-outs and limits; a
``WallClock`` is what people read on a watch and goes only into what is stored or signed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall

#: Milliseconds since 1970.
WallClock = Callable[[], int]


class Clock(Protocol):
    """What ``IReactorTime`` provides, as far as it is used here. ``seconds`` never goes back."""

    def seconds(self) -> float: ...

    def callLater(
        self, delay: float, callable: Callable[..., Any], *args: object, **kwargs: object
    ) -> IDelayedCall: ...


def system_wall_clock() -> int:
    """The machine's own wall clock, in milliseconds."""
    return time.time_ns() // 1_000_000
