"""One thing that is wrong between keys, or with what they name."""

from __future__ import annotations

from typing import NamedTuple


class Conflict(NamedTuple):
    """``text`` is what is wrong with ``path``; it also depends on the keys in ``given``."""

    path: str
    text: str
    given: tuple[str, ...] = ()
