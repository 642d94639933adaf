"""Checks one behind the other: order, deadlines, and what failures mean."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.core.screening.chain import Chain, Step
from imd.core.screening.model import ALLOWED, UNAVAILABLE, Action, FailureMode, NoVerdict, Verdict
from imd.core.screening.ports import ContentCheck
from tests.core.screening.checks import DRAFT, AtOnce, Slow

DEADLINE_S = 0.5
REFUSED = Verdict(Action.REFUSE, reason="word")


class ChainTests(SynchronousTestCase):
    """A word filter, say, and a server."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.released: list[tuple[str, str]] = []

    def chain(self, *checks: ContentCheck, on_failure: FailureMode = FailureMode.OPEN) -> Chain:
        steps = [
            Step(f"check {number}", check, DEADLINE_S, on_failure) for number, check in enumerate(checks)
        ]
        return Chain(
            steps=steps,
            clock=self.clock,
            released=lambda draft, check: self.released.append((draft.client_msg_id, check)),
        )

    def later(self, chain: Chain) -> Deferred[Verdict]:
        answer = chain.check(DRAFT)
        assert not isinstance(answer, Verdict)
        return answer

    def test_at_once(self) -> None:
        """Without anybody to wait for there is nothing to wait for."""
        self.assertEqual(self.chain().check(DRAFT), ALLOWED)
        self.assertEqual(self.chain(AtOnce(), AtOnce(lambda _: REFUSED)).check(DRAFT), REFUSED)

    def test_first_no_ends_it(self) -> None:
        """After a refusal or a review nobody else is asked."""
        for action in (Action.REFUSE, Action.REVIEW):
            slow = Slow()
            verdict = self.chain(AtOnce(lambda _, action=action: Verdict(action)), slow).check(DRAFT)  # type: ignore[misc]
            self.assertEqual(verdict, Verdict(action))
            self.assertEqual(slow.asked, [])

    def test_replaced(self) -> None:
        """What one check replaced the next one sees, and what the last one says about it counts."""
        slow = Slow()
        replace = AtOnce(lambda _: Verdict(Action.REPLACE, text="what the ****"))
        answer = self.later(self.chain(replace, slow))
        self.assertEqual(slow.asked[0].text, "what the ****")
        slow.answers[0].callback(ALLOWED)
        self.assertEqual(self.successResultOf(answer), Verdict(Action.REPLACE, text="what the ****"))

    def test_replaced_and_held(self) -> None:
        """Reviewers get the text as it would be sent."""
        slow = Slow()
        replace = AtOnce(lambda _: Verdict(Action.REPLACE, text="what the ****"))
        answer = self.later(self.chain(replace, slow))
        slow.answers[0].callback(Verdict(Action.REVIEW, reason="tone"))
        self.assertEqual(
            self.successResultOf(answer), Verdict(Action.REVIEW, text="what the ****", reason="tone")
        )

    def test_after_a_slow_one(self) -> None:
        """Those behind a slow check are asked when it has answered, in time or not."""
        slow, last = Slow(), Slow()
        answer = self.later(self.chain(slow, last))
        self.assertEqual(last.asked, [])
        self.clock.advance(DEADLINE_S)
        last.answers[0].callback(REFUSED)
        self.assertEqual(self.successResultOf(answer), REFUSED)

    def failing(self, mode: FailureMode) -> list[Verdict]:
        """The verdicts in place of none: too late, not reachable, broken."""
        verdicts: list[Verdict] = []
        for error in (None, NoVerdict("it is away"), ZeroDivisionError()):
            slow = Slow()
            answer = self.later(self.chain(slow, on_failure=mode))
            if error is None:
                slow.answers[0].addErrback(lambda failure: failure.trap(CancelledError))
                self.clock.advance(DEADLINE_S)
            else:
                slow.answers[0].errback(error)
            verdicts.append(self.successResultOf(answer))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        return verdicts

    def test_open(self) -> None:
        """Open: without a verdict a message goes through, and that is told."""
        self.assertEqual(self.failing(FailureMode.OPEN), [ALLOWED] * 3)
        self.assertEqual(self.released, [("m-1", "check 0")] * 3)

    def test_closed(self) -> None:
        """Closed: it is refused, as something that may be good later."""
        self.assertEqual(self.failing(FailureMode.CLOSED), [UNAVAILABLE] * 3)
        self.assertEqual(self.released, [])

    def test_quarantine(self) -> None:
        """Quarantine: it is held for review."""
        held = Verdict(Action.REVIEW, reason="unavailable")
        self.assertEqual(self.failing(FailureMode.QUARANTINE), [held] * 3)
