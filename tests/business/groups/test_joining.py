"""What may become of applications and invitations, over every state and input there is."""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from imd.business.groups.joining import (
    APPLICATIONS,
    INVITATIONS,
    PENDING_MS,
    Answers,
    ApplicationInput,
    ApplicationState,
    InvitationInput,
    InvitationState,
    application_after,
    application_now,
    check_question,
    invitation_after,
    invitation_now,
)
from imd.kernel.errors import Forbidden, PayloadInvalid


class Applications(SynchronousTestCase):
    """Somebody asks to be let in."""

    #: A row a state; "-" is refused. In the order of ApplicationInput: approve, refuse, cancel, expire.
    EXPECTED = """
        PENDING    APPROVED  REFUSED  CANCELLED  EXPIRED
        APPROVED   APPROVED  -        -          -
        REFUSED    -         REFUSED  -          -
        CANCELLED  -         -        CANCELLED  -
        EXPIRED    -         -        -          EXPIRED
    """

    def test_every_pair(self) -> None:
        """Whatever happens in whatever state does what the table says, and is refused where it says nothing."""
        rows = [line.split() for line in self.EXPECTED.strip().splitlines()]
        self.assertEqual([row[0] for row in rows], [state.name for state in ApplicationState])
        for (name, *cells), (number, happens) in product(rows, enumerate(ApplicationInput)):
            state = ApplicationState[name]
            if cells[number] == "-":
                refused = self.assertRaises(Forbidden, application_after, state, happens)
                self.assertIn(name.lower(), str(refused))
            else:
                self.assertEqual(application_after(state, happens).name, cells[number])

    def test_final(self) -> None:
        """What was settled stays so."""
        for (state, _), after in APPLICATIONS.items():
            if state is not ApplicationState.PENDING:
                self.assertEqual(after, state)

    def test_time(self) -> None:
        """An application that nobody looked at for seven days has expired; what was decided does not."""
        for state in ApplicationState:
            self.assertEqual(application_now(state, 5, 4 + PENDING_MS), state)
            late = ApplicationState.EXPIRED if state is ApplicationState.PENDING else state
            self.assertEqual(application_now(state, 5, 5 + PENDING_MS), late)


class Invitations(SynchronousTestCase):
    """Somebody is asked to come."""

    #: In the order of InvitationInput: accept, refuse, expire.
    EXPECTED = """
        PENDING    ACCEPTED  REFUSED  EXPIRED
        ACCEPTED   ACCEPTED  -        -
        REFUSED    -         REFUSED  -
        EXPIRED    -         -        EXPIRED
    """

    def test_every_pair(self) -> None:
        """Whatever happens in whatever state does what the table says, and is refused where it says nothing."""
        rows = [line.split() for line in self.EXPECTED.strip().splitlines()]
        self.assertEqual([row[0] for row in rows], [state.name for state in InvitationState])
        for (name, *cells), (number, happens) in product(rows, enumerate(InvitationInput)):
            state = InvitationState[name]
            if cells[number] == "-":
                self.assertRaises(Forbidden, invitation_after, state, happens)
            else:
                self.assertEqual(invitation_after(state, happens).name, cells[number])

    def test_final(self) -> None:
        """What was settled stays so."""
        for (state, _), after in INVITATIONS.items():
            if state is not InvitationState.PENDING:
                self.assertEqual(after, state)

    def test_time(self) -> None:
        """An invitation that was left alone for seven days has expired."""
        self.assertEqual(invitation_now(1, 5, 4 + PENDING_MS), InvitationState.PENDING)
        self.assertEqual(invitation_now(1, 5, 5 + PENDING_MS), InvitationState.EXPIRED)
        self.assertEqual(invitation_now(2, 5, 5 + PENDING_MS), InvitationState.ACCEPTED)


class Doors(SynchronousTestCase):
    """A question, and the answer that opens."""

    def setUp(self) -> None:
        self.answers = Answers(secret=lambda: b"s" * 32)

    def test_folded(self) -> None:
        """Case, width and spaces of an answer do not count, everything else does."""
        sealed = self.answers.sealed("g_1", "Blue  Whale")
        for right in ("bluewhale", "BLUE WHALE", " ｂｌｕｅ whale "):
            self.assertTrue(self.answers.is_right("g_1", right, sealed))
        for wrong in ("blue", "blue whales", "blau wal"):
            self.assertFalse(self.answers.is_right("g_1", wrong, sealed))

    def test_sealed(self) -> None:
        """The same answer looks different for another group and under another secret, and is nowhere in the seal."""
        other = Answers(secret=lambda: b"t" * 32)
        seals = {
            self.answers.sealed("g_1", "blue"),
            self.answers.sealed("g_2", "blue"),
            other.sealed("g_1", "blue"),
        }
        self.assertEqual((len(seals), {len(seal) for seal in seals}), (3, {64}))

    def test_none(self) -> None:
        """Where no answer is kept none is right."""
        self.assertFalse(self.answers.is_right("g_1", "blue", ""))

    def test_bad(self) -> None:
        """An empty or endless answer and an empty question are refused by name."""
        for answer in ("", "  ", "x" * 65):
            refused = self.assertRaises(PayloadInvalid, self.answers.sealed, "g_1", answer)
            self.assertEqual(refused.field, "answer")
        self.assertRaises(PayloadInvalid, check_question, "  ")
