"""The states of a review, every one with every input."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.business.reviews.model import FINAL, STATUS, Input, State, after
from imd.kernel.errors import IdempotentConflict

P, A, D, R, E = State.PENDING, State.APPROVED, State.DELIVERED, State.REFUSED, State.EXPIRED
#: A line a state, in the order of ``Input``: approve, refuse, expire, stored, rejected; None: too late.
TABLE: dict[State, tuple[State | None, ...]] = {
    P: (A, R, E, None, None),
    A: (A, None, None, D, R),
    D: (D, None, None, D, None),
    R: (None, R, None, None, R),
    E: (None, None, E, None, None),
}


class StateTests(SynchronousTestCase):
    """What follows what."""

    def test_table(self) -> None:
        """Each input in each state leads where the table says, or is refused."""
        self.assertEqual(set(TABLE), set(State))
        for state, row in TABLE.items():
            for happened, expected in zip(Input, row, strict=True):
                if expected is None:
                    self.assertRaises(IdempotentConflict, after, state, happened)
                else:
                    self.assertIs(after(state, happened), expected, (state, happened))

    def test_final(self) -> None:
        """From where nothing else follows, there is no way back."""
        for state in State:
            following = {one for one in TABLE[state] if one is not None}
            self.assertEqual(state in FINAL, following == {state})

    def test_status(self) -> None:
        """Each state says something in ACKs."""
        self.assertEqual(set(STATUS), set(State))
