"""On how many devices somebody may be logged in, by kind of device: pure rules, checked where a login is written.

What a device is, it says itself. These rules keep an account in order; they are no defence against whoever has
its password and lies about the device.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from imd.business.accounts.model import Login

MOBILE, DESKTOP, WEB, OTHER = "mobile", "desktop", "web", "other"

#: The first word of a platform to its kind.
_KINDS = {
    "ios": MOBILE,
    "iphone": MOBILE,
    "ipad": MOBILE,
    "android": MOBILE,
    "harmony": MOBILE,
    "harmonyos": MOBILE,
    "mobile": MOBILE,
    "windows": DESKTOP,
    "macos": DESKTOP,
    "mac": DESKTOP,
    "linux": DESKTOP,
    "desktop": DESKTOP,
    "terminal": DESKTOP,
    "web": WEB,
    "browser": WEB,
    "miniprogram": WEB,
}
_FIRST_WORD = re.compile(r"[a-z]+")


class KindRule(NamedTuple):
    """At most so many devices of a kind; one more is refused, or ends the one that was idle for longest."""

    most: int
    refuses: bool


class LoginRules(NamedTuple):
    """What holds for every account; kinds without a rule are bounded by ``max_logins`` alone."""

    max_logins: int
    login_ttl_ms: int
    kinds: Mapping[str, KindRule] = {}


class TooManyDevices(Exception):
    """One more device of this kind may not log in."""

    def __init__(self, kind: str, most: int) -> None:
        super().__init__(f"already logged in on {most} {kind} device{'s' if most > 1 else ''}")
        self.most = most


def kind_of(platform: str) -> str:
    """The kind of a device by what it calls itself: its first word, such as ``ios 19.1``."""
    word = _FIRST_WORD.match(platform.lower())
    return _KINDS.get(word.group(), OTHER) if word is not None else OTHER


def ended_by(login: Login, present: Sequence[Login], rules: LoginRules) -> list[Login]:
    """Which logins of the same user have to end for a new one.

    :raises TooManyDevices: it is the new one that may not be. Logins that are over by age stand in nobody's way.
    """
    oldest_ms = login.created_at_ms - rules.login_ttl_ms
    ended = [one for one in present if one.device_id == login.device_id or one.created_at_ms <= oldest_ms]
    living = sorted((one for one in present if one not in ended), key=_refreshed)
    kind = kind_of(login.platform)
    rule = rules.kinds.get(kind)
    if rule is not None:
        alike = [one for one in living if kind_of(one.platform) == kind]
        if rule.refuses and len(alike) >= rule.most:
            raise TooManyDevices(kind, rule.most)
        ended += alike[: max(0, len(alike) - rule.most + 1)]
    left = [one for one in living if one not in ended]
    return ended + left[: max(0, len(left) - rules.max_logins + 1)]


def _refreshed(login: Login) -> int:
    return login.refreshed_at_ms
