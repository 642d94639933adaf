"""Rates by user, device and address (spec 18.5); conversations have theirs in ``message.append``.

Buckets are made when first needed, so that an idle connection costs nothing, and are held by
those who use them, so that a frame costs no look-up.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol, TypeVar

from imd.config.gray import Target
from imd.kernel.token_bucket import TokenBucket


class Rates(NamedTuple):
    """0 switches a limit off."""

    user_text_per_min: float
    user_media_per_min: float
    user_burst: float
    device_frames_per_s: float
    ip_frames_per_s: float
    ip_connects_per_s: float


class GrayRates(NamedTuple):
    """Other rates, for some users."""

    rates: Rates
    target: Target


class RatesInForce:
    """By which rates whom; resolved when somebody comes or settings change, never for a frame."""

    def __init__(self, rates: Rates) -> None:
        #: Of everybody who has no others.
        self.rates = rates
        self.gray: GrayRates | None = None

    def of(self, user_id: int, client_versions: Iterable[str]) -> Rates:
        """Of a user who is here with clients of these versions."""
        gray = self.gray
        return gray.rates if gray is not None and gray.target.has(user_id, client_versions) else self.rates


def bucket(rate_per_s: float, now_s: float, *, burst: float = 0.0) -> TokenBucket | None:
    """A full bucket, or None for no limit. Without a burst of its own it holds 2 s worth, at least 1."""
    if not rate_per_s:
        return None
    return TokenBucket(rate_per_s=rate_per_s, burst=burst or max(1.0, 2 * rate_per_s), now_s=now_s)


class Tokens(Protocol):
    """As of ``TokenBucket``; ``shared_rates`` puts others in their place."""

    def take(self, now_s: float, cost: float = 1.0) -> bool: ...

    def retry_after_ms(self, cost: float = 1.0) -> int: ...

    def is_full(self, now_s: float) -> bool: ...

    def change(self, now_s: float, *, rate_per_s: float, burst: float) -> None: ...


T = TypeVar("T", bound=Tokens)


def changed(
    tokens: T | None, rate_per_s: float, now_s: float, *, burst: float = 0.0
) -> T | TokenBucket | None:
    """The same bucket at another rate; as ``bucket`` where there was none, or is to be none."""
    if tokens is None or not rate_per_s:
        return bucket(rate_per_s, now_s, burst=burst)
    tokens.change(now_s, rate_per_s=rate_per_s, burst=burst or max(1.0, 2 * rate_per_s))
    return tokens


class UserRates:
    """What one user may send, over all devices; kept for as long as a session of the user is here."""

    __slots__ = ("media", "rates", "text")

    def __init__(self, rates: Rates, now_s: float) -> None:
        #: By which these are; of all users the same object, or of all in a gray release.
        self.rates = rates
        self.text: Tokens | None = bucket(rates.user_text_per_min / 60, now_s, burst=rates.user_burst)
        self.media: Tokens | None = bucket(
            rates.user_media_per_min / 60, now_s, burst=min(rates.user_burst, rates.user_media_per_min)
        )

    def change(self, rates: Rates, now_s: float) -> None:
        """Go on by these, with what is left."""
        self.rates = rates
        burst = rates.user_burst
        self.text = changed(self.text, rates.user_text_per_min / 60, now_s, burst=burst)
        self.media = changed(
            self.media, rates.user_media_per_min / 60, now_s, burst=min(burst, rates.user_media_per_min)
        )

    def full(self, now_s: float) -> bool:
        """Whether forgetting these would change nothing."""
        return _full(self.text, now_s) and _full(self.media, now_s)


def _full(tokens: Tokens | None, now_s: float) -> bool:
    return tokens is None or tokens.is_full(now_s)


class Address:
    """What all connections of one address share."""

    __slots__ = ("connections", "connects", "frames")

    def __init__(self, rates: Rates, now_s: float) -> None:
        self.connections = 0
        self.connects = bucket(rates.ip_connects_per_s, now_s)
        self.frames = bucket(rates.ip_frames_per_s, now_s)

    def change(self, rates: Rates, now_s: float) -> None:
        """Go on by these, with what is left."""
        self.connects = changed(self.connects, rates.ip_connects_per_s, now_s)
        self.frames = changed(self.frames, rates.ip_frames_per_s, now_s)

    def full(self, now_s: float) -> bool:
        """Whether forgetting these would change nothing."""
        return _full(self.connects, now_s) and _full(self.frames, now_s)
