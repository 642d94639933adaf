"""Which checks there are, by configuration and settings."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.config.policy import Content
from imd.core.screening.chain import Chain
from imd.core.screening.model import Action, FailureMode
from imd.core.screening.words import Words, entry
from imd.roles.screening import Checks


class CheckTests(SynchronousTestCase):
    """Words first, then the hook; nothing at all unless something is configured."""

    def setUp(self) -> None:
        self.chain = Chain(steps=(), clock=Clock())

    def checks(self, *, hook: Any = None, content: Content | None = None) -> Checks:
        return Checks(chain=self.chain, hook=hook, content=content or Content())

    def test_nothing(self) -> None:
        """Without words and hook the chain is empty, and empty again when the last word goes."""
        checks = self.checks()
        self.assertTrue(self.chain.is_empty)
        checks.take_words(Words([entry("heck", Action.REFUSE)]))
        self.assertFalse(self.chain.is_empty)
        checks.take_words(Words(()))
        self.assertTrue(self.chain.is_empty)

    def test_order(self) -> None:
        """What costs nothing is asked first."""
        hook = object()
        checks = self.checks(hook=hook)
        words = Words([entry("heck", Action.REFUSE)])
        checks.take_words(words)
        self.assertEqual([step.check for step in self.chain.steps], [words, hook])

    def test_settings(self) -> None:
        """Deadline and failure mode of the hook change while nodes run; the words stay."""
        checks = self.checks(hook=object())
        checks.take_words(Words([entry("heck", Action.REFUSE)]))
        checks.take_settings(Content(hook_deadline_ms=100, hook_on_failure="quarantine"))
        words, hook = self.chain.steps
        self.assertEqual((hook.deadline_s, hook.on_failure), (0.1, FailureMode.QUARANTINE))
        self.assertEqual(words.name, "the word filter")
