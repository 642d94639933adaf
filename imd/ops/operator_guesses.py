"""Operators' tokens that are tried one after the other: so many from an address, and what was refused is counted."""

from __future__ import annotations

from imd.kernel.attempts import Attempts, address_key
from imd.kernel.clocks import Clock
from imd.kernel.errors import AuthFailed, Forbidden, ImError, RateLimited
from imd.kernel.eviction import forget_oldest

#: Of one address, tokens that were never good here; each may cost a look into the database of im-admin.
RATE_PER_S = 5.0
BURST = 30.0
#: Tokens that were good, by their hashes; there are as many as operators.
MAX_GOOD = 1_000


class OperatorGuesses:
    """Tokens that were good the last time are never slowed down: whoever guesses behind the same address keeps no
    operator out.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._unknown = Attempts(
            rate_per_s=RATE_PER_S, burst=BURST, what="unknown operators' tokens", clock=clock
        )
        self._good: dict[bytes, None] = {}
        #: Refused requests by why.
        self.refused = {"token": 0, "rate": 0, "role": 0}

    def check(self, token_hash: bytes, address: str) -> None:
        """Before it is looked up whose the token is. :raises RateLimited: too many that nobody knows."""
        if token_hash not in self._good:
            self._unknown.check(address_key(address))

    def found(self, token_hash: bytes, *, is_good: bool) -> None:
        """What the look-up said."""
        self._good.pop(token_hash, None)
        if is_good:
            self._good[token_hash] = None
            forget_oldest(self._good, MAX_GOOD)

    def count(self, error: ImError) -> None:
        """A request of somebody who would be an operator is answered with this."""
        if isinstance(error, AuthFailed):
            self.refused["token"] += 1
        elif isinstance(error, RateLimited):
            self.refused["rate"] += 1
        elif isinstance(error, Forbidden) and error.reason == "role":
            self.refused["role"] += 1
