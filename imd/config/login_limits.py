"""How a limit on devices of a kind is written: ``2 kick``, ``1 refuse``."""

from __future__ import annotations

import re

_LIMIT = re.compile(r"([1-9][0-9]{0,2}) (kick|refuse)\Z")

#: The keys of [login_policy].
LOGIN_KINDS = ("mobile", "desktop", "web", "other")
EXPECTED_LIMIT = 'such as "1 kick" or "2 refuse", or nothing'


def parse_limit(text: str) -> tuple[int, bool]:
    """How many, and whether one more is refused; 0: no limit.

    :raises ValueError: it is no such limit.
    """
    if not text:
        return 0, False
    found = _LIMIT.match(text)
    if found is None:
        raise ValueError(f"{text!r} is no limit")
    return int(found[1]), found[2] == "refuse"
