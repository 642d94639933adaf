"""The rules about two people, each over everything that it may be asked."""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from imd.business.accounts.model import ACTIVE, DELETED, FROZEN
from imd.business.relations.model import (
    NOT_ACCEPTED,
    REQUEST_TTL_MS,
    STEPS,
    Asking,
    Audience,
    Request,
    Stance,
    Word,
    may_write,
    refused,
    step,
)
from imd.kernel.errors import Forbidden

#: What becomes of a request in every state by every word; empty: refused.
TABLE = """
            ASK      CANCEL    ACCEPT   REFUSE   EXPIRE  PART
NONE        PENDING  -         -        -        -       -
PENDING     PENDING  CANCELLED ACCEPTED REFUSED  EXPIRED -
ACCEPTED    ACCEPTED -         ACCEPTED -        -       NONE
REFUSED     PENDING  -         -        REFUSED  -       -
CANCELLED   PENDING  CANCELLED -        -        -       -
EXPIRED     PENDING  -         -        -        -       -
"""


def table() -> dict[tuple[Asking, Word], str]:
    head, *rows = TABLE.strip().splitlines()
    words = [Word[name] for name in head.split()]
    return {
        (Asking[row.split()[0]], word): after
        for row in rows
        for word, after in zip(words, row.split()[1:], strict=True)
    }


class Requests(SynchronousTestCase):
    """Requests for friendship."""

    def test_every_step(self) -> None:
        """Every word in every state leads where the table says, or is refused and leads nowhere."""
        self.assertEqual(set(table()), set(product(Asking, Word)))
        for (state, word), after in table().items():
            with self.subTest(state=state.name, word=word.name):
                if after == "-":
                    error = self.assertRaises(Forbidden, step, state, word)
                    self.assertEqual(error.reason, "no_request")
                    self.assertNotIn((state, word), STEPS)
                else:
                    self.assertIs(step(state, word), Asking[after])

    def test_expiry(self) -> None:
        """A request is open for seven days to the millisecond, and what was decided stays so."""
        request = Request(1, 2, Asking.PENDING, "", 1000, 0)
        self.assertEqual(request.as_of(999 + REQUEST_TTL_MS), request)
        over = request.as_of(1000 + REQUEST_TTL_MS)
        self.assertEqual((over.state, over.decided_at_ms), (Asking.EXPIRED, 1000 + REQUEST_TTL_MS))
        for state in set(Asking) - {Asking.PENDING}:
            self.assertIs(request._replace(state=state).as_of(1 << 60).state, state)


class Writing(SynchronousTestCase):
    """Who may write to whom."""

    def test_every_pair(self) -> None:
        """Of all there may be between two, a message passes if and only if all of these hold."""
        states, audiences, flags = (ACTIVE, FROZEN, DELETED), (*Audience, 9), (False, True)
        passed = 0
        for sender_state, state, audience, out, in_, friends in product(
            states, states, audiences, flags, flags, flags
        ):
            sender = Stance(1, sender_state, Audience.NOBODY, out, friends)
            receiver = Stance(2, state, audience, in_, friends)
            admitted = audience == Audience.EVERYONE or (audience == Audience.FRIENDS and friends)
            expected = sender_state == state == ACTIVE and not out and not in_ and admitted
            self.assertEqual(may_write(sender, receiver), expected, (sender, receiver))
            passed += expected
        self.assertEqual(passed, 3)

    def test_refused(self) -> None:
        """Each way is judged by itself, and every no has the same reason."""
        open_, shy = Stance(1, ACTIVE, 0, False, False), Stance(2, ACTIVE, Audience.FRIENDS, False, False)
        self.assertEqual(refused(open_, open_._replace(user_id=2)), {})
        self.assertEqual(refused(open_, shy), {1: NOT_ACCEPTED})
        self.assertEqual(refused(shy, open_), {1: NOT_ACCEPTED})
        for closed in (shy._replace(blocks=True), shy._replace(status=FROZEN), shy._replace(status=DELETED)):
            self.assertEqual(refused(open_, closed), {1: NOT_ACCEPTED, 2: NOT_ACCEPTED})
