"""The circuit breaker, every state with every input."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.hooks.breaker import Breaker, State

#: (state, input) -> state, after so few failures that one more opens it. None: the call is not allowed.
TABLE = {
    (State.CLOSED, "asked"): State.CLOSED,
    (State.CLOSED, "asked later"): State.CLOSED,
    (State.CLOSED, "succeeded"): State.CLOSED,
    (State.CLOSED, "failed"): State.OPEN,
    (State.OPEN, "asked"): None,
    (State.OPEN, "asked later"): State.HALF_OPEN,
    (State.OPEN, "succeeded"): State.OPEN,
    (State.OPEN, "failed"): State.OPEN,
    (State.CLOSED, "untried"): State.CLOSED,
    (State.OPEN, "untried"): State.OPEN,
    (State.HALF_OPEN, "untried"): State.OPEN,
    (State.HALF_OPEN, "asked"): None,
    (State.HALF_OPEN, "asked later"): None,
    (State.HALF_OPEN, "succeeded"): State.CLOSED,
    (State.HALF_OPEN, "failed"): State.OPEN,
}
REST_S = 10.0


class BreakerTests(SynchronousTestCase):
    """Who failed several times is left alone for a while."""

    def breaker(self, state: State) -> tuple[Breaker, Clock]:
        clock = Clock()
        breaker = Breaker(clock=clock, failures=2, rest_s=REST_S)
        breaker.failed()
        if state is not State.CLOSED:
            breaker.failed()
        if state is State.HALF_OPEN:
            clock.advance(REST_S)
            breaker.allows()
        return breaker, clock

    def test_table(self) -> None:
        """Each input in each state."""
        for (state, given), expected in TABLE.items():
            breaker, clock = self.breaker(state)
            self.assertIs(breaker.state, state)
            if given.startswith("asked"):
                clock.advance(REST_S if given == "asked later" else REST_S / 2)
                self.assertEqual(breaker.allows(), expected is not None, (state, given))
            else:
                getattr(breaker, given)()
            self.assertIs(breaker.state, expected or state, (state, given))

    def test_only_in_a_row(self) -> None:
        """A success between failures makes them count from the beginning."""
        breaker = Breaker(clock=Clock(), failures=2)
        for _ in range(10):
            breaker.failed()
            breaker.succeeded()
        self.assertTrue(breaker.allows())
