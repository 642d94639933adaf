"""How far a friend list was read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.business.relations.synced import NOWHERE, Place, is_from_the_future, is_usable, parse_place
from imd.kernel.errors import PayloadInvalid

NUMBERS = st.integers(min_value=0, max_value=(1 << 63) - 1)


class Places(SynchronousTestCase):
    """The text that clients keep."""

    @given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
    def test_round_trip(self, epoch: int, version: int, friend_id: int, began: int) -> None:
        """What we write we read."""
        place = Place(epoch, version, friend_id, began if friend_id else 0)
        self.assertEqual(parse_place(str(place)), place)

    def test_empty(self) -> None:
        """Who says nothing knows nothing."""
        self.assertEqual(parse_place(""), NOWHERE)

    def test_nonsense(self) -> None:
        """What we never wrote is refused, and the field named."""
        for text in (
            "1",
            "x-1",
            "1-2-3",
            "1-2-3-4-5",
            "-1-2",
            "1-ffffffffffffffff",
            "A-1",
            "1-2\n",
            "é-1",
            "1-2-3-4 ",
        ):
            error = self.assertRaises(PayloadInvalid, parse_place, text)
            self.assertEqual(error.field, "since", text)

    def test_usable(self) -> None:
        """A place is of use in its own epoch, unless what ended since then is forgotten."""
        at = {"epoch": 7, "version": 20, "floor": 10}
        self.assertTrue(is_usable(Place(7, 10), **at))
        self.assertTrue(is_usable(Place(7, 20), **at))
        self.assertFalse(is_usable(Place(7, 9), **at))
        self.assertFalse(is_usable(Place(7, 21), **at))
        self.assertFalse(is_usable(Place(8, 15), **at))
        self.assertFalse(is_usable(NOWHERE, **at))

    def test_between(self) -> None:
        """In the middle of a reading it matters when that began, not how old the last friend told is."""
        at = {"epoch": 7, "version": 20, "floor": 10}
        self.assertTrue(is_usable(Place(7, 2, 99, 12), **at))
        self.assertFalse(is_usable(Place(7, 2, 99, 9), **at))

    def test_future(self) -> None:
        """What was never given in this epoch tells that the database went back."""
        self.assertTrue(is_from_the_future(Place(7, 21), epoch=7, version=20))
        self.assertTrue(is_from_the_future(Place(7, 1, 9, 21), epoch=7, version=20))
        self.assertFalse(is_from_the_future(Place(7, 20), epoch=7, version=20))
        self.assertFalse(is_from_the_future(Place(8, 99), epoch=7, version=20))
