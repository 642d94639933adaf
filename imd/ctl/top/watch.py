"""One node, looked at again and again."""

from __future__ import annotations

from collections.abc import Callable

from imd.ctl.top.figures import Figures, down, figures
from imd.ctl.top.nodes import Target
from imd.ctl.top.samples import Samples
from imd.ctl.top.scrape import NoAnswer, scrape

#: How metrics are come by; the default asks the node.
Scrape = Callable[..., Samples]


class Watch:
    """Remembers the last scrape, for rates need two.

    :param timeout_s: for an answer.
    :param seconds: monotonic time.
    :param wall_seconds: Unix time.
    """

    def __init__(
        self,
        target: Target,
        *,
        timeout_s: float,
        seconds: Callable[[], float],
        wall_seconds: Callable[[], float],
        ask: Scrape = scrape,
    ) -> None:
        self._target = target
        self._timeout_s = timeout_s
        self._seconds = seconds
        self._wall_seconds = wall_seconds
        self._ask = ask
        self._before: Samples | None = None
        self._node = target.name

    def look(self) -> Figures:
        """What the node does now; blocks for an answer."""
        address = str(self._target)
        try:
            now = self._ask(
                self._target.host, self._target.port, timeout_s=self._timeout_s, seconds=self._seconds
            )
        except NoAnswer as silence:
            # Rates over the time that it was away would mean nothing.
            self._before = None
            return down(address, str(silence), node=self._node)
        before, self._before = self._before, now
        seen = figures(address, before, now, wall_s=self._wall_seconds())
        self._node = seen.node or self._node
        return seen
