"""Subjects and patterns."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.bus.matching import Routes, check_subject, matcher


class MatcherTests(SynchronousTestCase):
    """Which subjects a pattern covers."""

    def test_table(self) -> None:
        """A pattern covers what NATS says it covers."""
        for pattern, subject, expected in (
            ("im.a", "im.a", True),
            ("im.a", "im.a.b", False),
            ("im.*", "im.a", True),
            ("im.*", "im", False),
            ("im.*", "im.a.b", False),
            ("*.*.c", "a.b.c", True),
            ("im.>", "im", False),
            ("im.>", "im.a", True),
            ("im.>", "im.a.b.c", True),
            ("im.*.>", "im.a", False),
            (">", "im", True),
        ):
            self.assertEqual(matcher(pattern)(subject), expected, (pattern, subject))

    def test_refused(self) -> None:
        """A pattern that could cover nothing, and a subject with holes, are mistakes."""
        for pattern in ("", "a..b", ".a", "a b", "a.>.b", "a*", "a.>>"):
            self.assertRaises(ValueError, matcher, pattern)
        for subject in ("", "a.", "a.*", ">", "a\tb"):
            self.assertRaises(ValueError, check_subject, subject)

    def test_routes(self) -> None:
        """All targets under exact and wildcard patterns are found, each as often as it was added."""
        routes: Routes[int] = Routes()
        routes.add("im.a", 1)
        routes.add("im.a", 2)
        routes.add("im.*", 3)
        self.assertEqual(routes.find("im.a"), [1, 2, 3])
        self.assertEqual(routes.find("im.b"), [3])
        self.assertEqual(routes.find("other"), [])
