"""A circuit breaker: whoever failed several times in a row is left alone for a while, then tried once."""

from __future__ import annotations

from enum import Enum

from imd.kernel.clocks import Clock

#: As many in a row are no accident.
FAILURES = 5
#: Until the next try.
REST_S = 10.0


class State(Enum):
    """Whether calls are made."""

    CLOSED = "closed"
    OPEN = "open"
    #: One call is on its way, and decides.
    HALF_OPEN = "half open"


class Breaker:
    """Ask ``allows`` before each call; tell each that was allowed how it ended, once."""

    def __init__(self, *, clock: Clock, failures: int = FAILURES, rest_s: float = REST_S) -> None:
        self._clock = clock
        self._failures = failures
        self._rest_s = rest_s
        self._in_a_row = 0
        self._open_until_s = 0.0
        self.state = State.CLOSED

    def allows(self) -> bool:
        """Whether a call may be made now."""
        if self.state is State.OPEN and self._clock.seconds() >= self._open_until_s:
            self.state = State.HALF_OPEN
            return True
        return self.state is State.CLOSED

    def succeeded(self) -> None:
        """A call ended well."""
        # A late answer to a call of before says little about now; the one that is on trial decides.
        if self.state is not State.OPEN:
            self.state = State.CLOSED
            self._in_a_row = 0

    def failed(self) -> None:
        """A call did not."""
        self._in_a_row += 1
        if self.state is State.HALF_OPEN or self._in_a_row >= self._failures:
            self.state = State.OPEN
            self._open_until_s = self._clock.seconds() + self._rest_s

    def untried(self) -> None:
        """A call that was allowed was not made after all."""
        if self.state is State.HALF_OPEN:
            self.state = State.OPEN
