"""Which messages are traced: decided once, at the gateway, by the trace id; every later hop follows.

A client may name the trace in ``Header.traceId``: 32 hex digits, dashes among them do not count, or a W3C
traceparent, whose flag then asks for it to be sampled. Whoever chooses the id can also choose one that is sampled,
so all that comes of ids of clients is held within a rate.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import log, log1p

from imd.kernel.clocks import Clock
from imd.kernel.token_bucket import TokenBucket
from imd.kernel.trace_context import TraceContext, read_traceparent

#: As OpenTelemetry's TraceIdRatioBased: the lower half of the id is compared with the ratio.
_HALF_BITS = 64
_HALF = (1 << _HALF_BITS) - 1
#: A year of messages, at a ratio of nearly 0.
_MOST_SKIPPED = 1 << 40
_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}")
#: With dashes between all digits; what is longer is only for the client's own log.
_MOST_CHARACTERS = 64


class Sampling:
    """Decides for each message.

    :param ratio: of all messages; 0 to 1.
    :param chosen_per_s: traces of this node whose ids clients chose; as many at once as in ten seconds.
    :param random_bits: as ``random.getrandbits``.

    :ivar skip: of messages that name no trace, so many are passed over before the next is sampled. Counting down
        costs less than a random number for each, and comes to the same.
    """

    def __init__(
        self, *, ratio: float, chosen_per_s: float, random_bits: Callable[[int], int], clock: Clock
    ) -> None:
        self._random_bits = random_bits
        self._clock = clock
        self.change(ratio=ratio, chosen_per_s=chosen_per_s)

    def change(self, *, ratio: float, chosen_per_s: float) -> None:
        """From the next message on these hold."""
        self._ratio = ratio
        self._below = round(ratio * (1 << _HALF_BITS))
        self._log_of_miss = log1p(-ratio) if 0 < ratio < 1 else 0.0
        burst = 10 * chosen_per_s
        self._chosen = TokenBucket(rate_per_s=chosen_per_s, burst=burst, now_s=self._clock.seconds())
        self.skip = self._next_skip()

    def of_server(self) -> TraceContext | None:
        """What the first span of a message hangs on that names no trace, once ``skip`` has come down to 0."""
        self.skip = self._next_skip()
        if not self._below:
            return None
        # Below the ratio: whoever else decides by this id comes to the same. An id of 0 would stand for none.
        low = self._random_bits(_HALF_BITS) * self._below >> _HALF_BITS
        return TraceContext((self._random_bits(_HALF_BITS) << _HALF_BITS | low) or 1, 0)

    def of_client(self, said: str) -> TraceContext | None:
        """The same of one that names a trace; None: it is not traced.

        :param said: ``Header.traceId``; what it cannot be read as a trace is for the client's own log.
        """
        chosen, is_asked_for = _read(said)
        if chosen is None or not (is_asked_for or chosen.trace_id & _HALF < self._below):
            return None
        return chosen if self._chosen.take(self._clock.seconds()) else None

    def _next_skip(self) -> int:
        """How many misses come before a hit, if each message is one with ``ratio``."""
        if self._ratio >= 1:
            return 0
        if self._ratio <= 0:
            return _MOST_SKIPPED
        # In (0, 1]
        chance = (self._random_bits(53) + 1) / (1 << 53)
        return min(int(log(chance) / self._log_of_miss), _MOST_SKIPPED)


def _read(said: str) -> tuple[TraceContext | None, bool]:
    """The trace that a client names, and whether it asks for it to be sampled."""
    if len(said) > _MOST_CHARACTERS:
        return None, False
    traceparent = read_traceparent(said)
    if traceparent is not None:
        return traceparent.context, traceparent.is_sampled
    found = _TRACE_ID.fullmatch(said.replace("-", ""))
    trace_id = int(found[0], 16) if found is not None else 0
    return (TraceContext(trace_id, 0) if trace_id else None), False
