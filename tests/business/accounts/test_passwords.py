"""Passwords: one cost for all, and never more than the machine bears."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from argon2 import PasswordHasher
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.business.accounts.passwords import Passwords
from imd.kernel.errors import ServerBusy
from tests.business.world import CHEAP, at_once

T = TypeVar("T")


class Counting(PasswordHasher):
    """Says what it was asked to verify."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.verified: list[str | bytes] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Any:
        self.verified.append(hash)
        return super().verify(hash, password)


class Hashing(SynchronousTestCase):
    """Right ones match, all others do not."""

    def setUp(self) -> None:
        self.hasher = Counting()
        self.passwords = Passwords(hasher=self.hasher, threads=at_once, slots=4)
        self.run_(self.passwords.start())

    def run_(self, work: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def test_matches(self) -> None:
        """Only the password itself matches, argon2id, salted."""
        one, two = (self.run_(self.passwords.hash("correct horse")) for _ in range(2))
        self.assertTrue(one.startswith("$argon2id$"))
        self.assertNotEqual(one, two)
        self.assertTrue(self.run_(self.passwords.matches(one, "correct horse")))
        for wrong in ("", "correct horse ", "Correct horse", "correct"):
            self.assertFalse(self.run_(self.passwords.matches(one, wrong)))

    def test_same_letters(self) -> None:
        """Composed and decomposed letters are the same password."""
        made = self.run_(self.passwords.hash("café"))
        self.assertTrue(self.run_(self.passwords.matches(made, "cafe\u0301")))

    def test_nobody(self) -> None:
        """An unknown user costs a real check with the same parameters, and never matches."""
        self.assertFalse(self.run_(self.passwords.matches(None, "nobody has this password")))
        self.assertEqual(len(self.hasher.verified), 1)
        made = self.run_(self.passwords.hash("x"))
        self.assertEqual(str(self.hasher.verified[0]).split("$")[:4], made.split("$")[:4])

    def test_broken_hash(self) -> None:
        """A hash that cannot be read matches nothing."""
        self.assertFalse(self.run_(self.passwords.matches("rubbish", "x")))

    def test_outdated(self) -> None:
        """A hash of other costs is to be made anew."""
        self.assertTrue(self.passwords.is_outdated(PasswordHasher(2, 16, 1).hash("x")))
        self.assertFalse(self.passwords.is_outdated(CHEAP.hash("x")))


class Crowd(SynchronousTestCase):
    """More logins than slots."""

    def test_full(self) -> None:
        """Who finds all slots taken is told to come again, and a slot is free only when its thread is."""
        waiting: list[Callable[[], None]] = []

        def threads(work: Callable[[], T], /) -> Deferred[T]:
            done: Deferred[T] = Deferred()
            waiting.append(lambda: done.callback(work()))
            return done

        passwords = Passwords(hasher=CHEAP, threads=threads, slots=2)
        first, second = (Deferred.fromCoroutine(passwords.hash("x")) for _ in range(2))
        refused = self.failureResultOf(Deferred.fromCoroutine(passwords.hash("x")), ServerBusy)
        self.assertEqual((len(waiting), refused.value.retry_after_ms), (2, 1000))
        first.addErrback(lambda _: None)
        first.cancel()
        self.failureResultOf(Deferred.fromCoroutine(passwords.hash("x")), ServerBusy)
        waiting.pop(0)()
        third = Deferred.fromCoroutine(passwords.hash("x"))
        self.assertNoResult(third)
        for end in waiting:
            end()
        self.assertTrue(self.successResultOf(second).startswith("$argon2id$"))
        self.assertTrue(self.successResultOf(third).startswith("$argon2id$"))
