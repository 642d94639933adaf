"""How far a device has read a friend list: an opaque text, so that only we make such places.

A list has an epoch and a version that rises with every change. A device that shows a version which was never
given proves that the database went back to an older one: a new epoch begins, and everybody reads all.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from imd.kernel.errors import PayloadInvalid

_HEX = "([0-9a-f]{1,16})"
_MAX_ID = (1 << 63) - 1
_PLACE = re.compile(f"{_HEX}-{_HEX}(?:-{_HEX}-{_HEX})?\\Z")


class Place(NamedTuple):
    """Every change up to ``version`` is known; in the middle of a reading, see ``began``."""

    epoch: int
    version: int
    #: Of this version's changes, in the middle of a reading, those of friends up to this one; 0: of all.
    friend_id: int = 0
    #: In the middle of a reading: what the reader knew when it began, or everything was at when all is read.
    #: What ended before that is not told.
    began: int = 0

    def __str__(self) -> str:
        text = f"{self.epoch:x}-{self.version:x}"
        return f"{text}-{self.friend_id:x}-{self.began:x}" if self.friend_id else text

    @property
    def is_between(self) -> bool:
        """Whether it lies in the middle of a reading."""
        return self.friend_id != 0

    @property
    def known(self) -> int:
        """Ends of friendships since this version must still be remembered for the place to be of use."""
        return self.began if self.is_between else self.version


#: Where a device that knows nothing stands; no list has epoch 0.
NOWHERE = Place(0, 0)


def parse_place(text: str) -> Place:
    """The place that a text names; empty: nowhere."""
    if not text:
        return NOWHERE
    found = _PLACE.match(text)
    numbers = [int(part or "0", 16) for part in found.groups()] if found is not None else [_MAX_ID + 1]
    if max(numbers) > _MAX_ID:
        raise PayloadInvalid("since is no version of a friend list", field="since")
    return Place(*numbers)


def is_usable(place: Place, *, epoch: int, version: int, floor: int) -> bool:
    """Whether what changed since then is known; if not, all has to be read.

    :param floor: the last version at which the end of a friendship was forgotten.
    """
    return place.epoch == epoch and place.version <= version and floor <= place.known <= version


def is_from_the_future(place: Place, *, epoch: int, version: int) -> bool:
    """Whether it was given by a database that is gone."""
    return place.epoch == epoch and (place.version > version or place.began > version)
