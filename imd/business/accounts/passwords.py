"""Passwords: argon2id, off the reactor thread, never more at once than the machine bears."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Protocol, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from twisted.internet.defer import Deferred

from imd.kernel.errors import ServerBusy

T = TypeVar("T")

_RETRY_AFTER_MS = 1000


class Threads(Protocol):
    """Runs ``work`` off the reactor thread and fires with what it returned or raised."""

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]: ...


class Passwords:
    """Hashes and checks; one costs about 64 MiB and 100 ms.

    :param slots: how many may run or wait; whoever comes then gets ``ServerBusy`` at once.
    """

    def __init__(self, *, hasher: PasswordHasher, threads: Threads, slots: int) -> None:
        self._hasher = hasher
        self._threads = threads
        self._free = slots
        self._dummy = ""

    async def start(self) -> None:
        """Make the hash against which unknown users' passwords are checked, at the same cost."""
        self._dummy = await self.hash("nobody has this password")

    async def stop(self) -> None:
        """Nothing to end; the threads belong to whoever made them."""

    async def hash(self, password: str) -> str:
        """What to keep of a password."""
        return await self._run(lambda: self._hasher.hash(_normal(password)))

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is right; None, for nobody, takes as long and is False."""
        right = await self._run(lambda: self._verify(password_hash or self._dummy, password))
        return right and password_hash is not None

    @property
    def free(self) -> int:
        """How many more may run or wait now."""
        return self._free

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other costs than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, _normal(password))
        except (VerificationError, InvalidHashError):
            return False

    def _run(self, work: Callable[[], T]) -> Deferred[T]:
        if self._free <= 0:
            raise ServerBusy("too many logins at this moment", retry_after_ms=_RETRY_AFTER_MS)
        self._free -= 1
        running = self._threads(work)
        # The slot is free when the thread is, not when somebody stops waiting.
        result: Deferred[T] = Deferred()
        running.addBoth(self._ended)
        running.chainDeferred(result)
        return result

    def _ended(self, result: T) -> T:
        self._free += 1
        return result


def _normal(password: str) -> bytes:
    # The same password typed on another keyboard may come decomposed.
    return unicodedata.normalize("NFC", password).encode()
