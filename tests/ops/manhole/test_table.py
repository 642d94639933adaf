"""What operators are shown, and the help about it."""

from __future__ import annotations

from itertools import count

from twisted.trial.unittest import SynchronousTestCase

from imd.ops.manhole.names import names
from imd.ops.manhole.table import MAX_CELL, MAX_ROWS, Table, facts


class Tables(SynchronousTestCase):
    """``Table``."""

    def test_columns(self) -> None:
        """Columns are as wide as what stands in them."""
        table = Table(("user", "ms"), [(4711, 1.5), ("x", 2000.0)], title="two", note="that is all")
        self.assertEqual(
            repr(table).splitlines(),
            ["two", "user  ms", "----  -----", "4711  1.5", "x     2,000", "that is all"],
        )

    def test_none(self) -> None:
        """No row is said to be none."""
        self.assertEqual(repr(Table(("a",), [])), "(none)")

    def test_bounded(self) -> None:
        """Rows without end are not gone through, and it is said that there are more."""
        self.assertEqual(len(Table(("n",), ((n,) for n in count()), limit=3)), 3)
        self.assertTrue(repr(Table(("n",), ((n,) for n in count()), limit=3)).endswith("... and more"))
        self.assertEqual(len(Table(("n",), ((n,) for n in count()), limit=10**9)), MAX_ROWS)
        self.assertTrue(repr(Table(("n",), [(1,), (2,)], limit=1, total=2)).endswith("... 1 more"))

    def test_hostile(self) -> None:
        """What users call themselves neither draws on the terminal nor fills it."""
        text = repr(facts("", [("name", "\x1b[2J\r\n\u202e" + "x" * 10_000)]))
        self.assertNotIn("\x1b", text)
        self.assertNotIn("\u202e", text)
        self.assertLessEqual(max(map(len, text.splitlines())), MAX_CELL + 10)


class Names(SynchronousTestCase):
    """``names``."""

    def test_help(self) -> None:
        """Every command is listed with what it does, and tells more of itself, by name or as it is."""

        def sessions(user: int = 0) -> None:
            """Who is here.

            More of it.
            """

        made = names({"sessions": sessions}, {"core": object()}, about="im-core node 3")
        tell = made["help"]
        assert callable(tell)
        text = repr(tell())
        for words in ("im-core node 3", "sessions(user=0)", "Who is here.", "core are its objects"):
            self.assertIn(words, text)
        self.assertNotIn("More of it", text)
        for command in (sessions, "sessions"):
            self.assertIn("More of it.", repr(tell(command)))
        self.assertIn("no command 'sesions'", repr(tell("sesions")))
        self.assertIn("no command", repr(tell(7)))
