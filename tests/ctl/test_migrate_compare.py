"""Two sides held against each other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.migrate.compare import MAX_SHOWN, Sequences, Verdict, compare
from imd.ctl.migrate.rows import Digest, Row

SIDES = st.dictionaries(st.tuples(st.text("ab", max_size=2), st.integers(1, 5)), st.binary(max_size=2))
COLUMNS = ("conversation", "seq", "body")


def rows(side: dict[tuple[str, int], bytes]) -> list[Row]:
    return [(*key, side[key]) for key in sorted(side)]


def verdict(source: dict[tuple[str, int], bytes], target: dict[tuple[str, int], bytes]) -> Verdict:
    return compare("messages", rows(source), rows(target), key=2, columns=COLUMNS, one="message")


class Comparing(SynchronousTestCase):
    """One walk over both."""

    @given(SIDES, SIDES)
    def test_all_differences(
        self, source: dict[tuple[str, int], bytes], target: dict[tuple[str, int], bytes]
    ) -> None:
        """What differs is found, each key once, and nothing else; checksums agree exactly when all does."""
        found = verdict(source, target)
        expected = sorted(key for key in source.keys() | target.keys() if source.get(key) != target.get(key))
        self.assertEqual(found.difference_count, len(expected))
        self.assertEqual([each.key for each in found.differences], expected[:MAX_SHOWN])
        self.assertEqual((found.source.count, found.target.count), (len(source), len(target)))
        self.assertEqual(str(found.source) == str(found.target), source == target)

    def test_words(self) -> None:
        """Each difference names the row and what is wrong with it."""
        found = verdict({("a", 1): b"x", ("a", 2): b"y"}, {("a", 2): b"z", ("b", 1): b""})
        self.assertEqual(
            [str(each) for each in found.differences],
            [
                "message a/1: is missing in the target",
                "message a/2: differs in body",
                "message b/1: is only in the target",
            ],
        )

    @given(st.lists(st.tuples(st.text("ab:1", max_size=3), st.binary(max_size=3)), max_size=3), st.data())
    def test_digest(self, some: list[Row], data: st.DataObject) -> None:
        """No two different lists of rows have one checksum because their parts run into each other."""
        other = data.draw(st.lists(st.tuples(st.text("ab:1", max_size=3), st.binary(max_size=3)), max_size=3))
        left, right = Digest(), Digest()
        for row in some:
            left.add(row)
        for row in other:
            right.add(row)
        self.assertEqual(str(left) == str(right), some == other)

    def test_kinds(self) -> None:
        """A number is not its text; a truth is the number that SQLite makes of it."""
        digests = []
        for value in (1, "1", b"1", None, True):
            digest = Digest()
            digest.add((value,))
            digests.append(str(digest))
        self.assertEqual(len(set(digests)), 4)
        self.assertEqual(digests[0], digests[4])

    def test_holes(self) -> None:
        """Every conversation begins at 1 and misses nothing."""
        self.assertEqual(self.holes([("a", 1), ("a", 2), ("b", 1)]), [])
        self.assertEqual(
            self.holes([("a", 2), ("a", 3), ("b", 1), ("b", 4)]),
            ["sequence a/1: the target has 2 behind 0", "sequence b/2: the target has 4 behind 1"],
        )

    def holes(self, some: list[Row]) -> list[str]:
        watching = Sequences()
        self.assertEqual(list(watching.watch(some)), some)
        return [str(each) for each in watching.verdict().differences]
