"""The word filter: what is found, and what becomes of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.core.screening.model import ALLOWED, Action, Draft, Verdict
from imd.core.screening.words import Words, entry


def words(**actions: str) -> Words:
    """Of ``replace="heck darn"`` and the like."""
    return Words(
        [entry(word, Action[name.upper()]) for name, listed in actions.items() for word in listed.split()]
    )


class WordTests(SynchronousTestCase):
    """One list, one text, one verdict."""

    def becomes(self, listed: Words, text: str, replaced: str) -> None:
        self.assertEqual(listed.verdict(text), Verdict(Action.REPLACE, text=replaced))

    def test_replaced(self) -> None:
        """A word is hidden where it stands, however it is written, and nothing else is."""
        listed = words(replace="heck 坏词")
        self.becomes(listed, "What the HeCk?", "What the ****?")
        self.becomes(listed, "what the ｈｅｃｋ!", "what the ****!")
        self.becomes(listed, "h.e c-k, he said", "*******, he said")
        self.becomes(listed, "he\u200bck heck", "***** ****")
        self.becomes(listed, "这是坏 词吗", "这是***吗")

    def test_clean(self) -> None:
        """Without a word of the list, or without a list, a text is allowed."""
        self.assertIs(words(refuse="heck").verdict("all is well"), ALLOWED)
        self.assertIs(Words(()).verdict("heck"), ALLOWED)
        self.assertIs(words(refuse="heck").verdict(""), ALLOWED)

    def test_strictest(self) -> None:
        """Of several words the strictest decides, whatever their order."""
        listed = words(replace="darn", review="drat", refuse="heck")
        self.assertIs(listed.verdict("darn drat").action, Action.REVIEW)
        self.assertIs(listed.verdict("heck drat darn").action, Action.REFUSE)

    def test_longest(self) -> None:
        """Of entries that begin together the longest counts."""
        listed = words(refuse="abc", replace="abcde")
        self.becomes(listed, "xabcdex", "x*****x")
        self.assertIs(listed.verdict("abcd").action, Action.REFUSE)

    def test_exceptions(self) -> None:
        """An allowed word hides what it contains, and only that."""
        listed = words(refuse="cunt", allow="Scunthorpe")
        self.assertIs(listed.verdict("I live in Scunthorpe"), ALLOWED)
        self.assertIs(listed.verdict("Scunthorpe, cunt").action, Action.REFUSE)

    def test_struck_through(self) -> None:
        """Strokes through letters, lines below them and rings around them hide nothing, inside other words either."""
        words = Words([entry("heck", Action.REPLACE)])
        verdict = words.verdict("whath\u0336e\u0332c\u20ddk\u0336s")
        self.assertEqual((verdict.action, verdict.text), (Action.REPLACE, "what*******\u0336s"))

    def test_across_words(self) -> None:
        """Spread-out letters count from the start of a word to the end of one; Chinese has no words."""
        listed = words(refuse="cunt 坏词")
        self.assertIs(listed.verdict("basic untruth"), ALLOWED)
        self.assertIs(listed.verdict("a c.u.n.t here").action, Action.REFUSE)
        self.assertIs(listed.verdict("这坏，词吗").action, Action.REFUSE)

    def test_nothing_hides_behind_the_harmless(self) -> None:
        """A match that does not count never covers one that does."""
        listed = words(refuse="cunt", review="untruth")
        self.assertIs(listed.verdict("basic untruth").action, Action.REVIEW)

    def test_listed_twice(self) -> None:
        """The stricter entry counts; an exception is meant as one."""
        self.assertIs(words(replace="heck", refuse="HECK").verdict("heck").action, Action.REFUSE)
        self.assertIs(words(refuse="heck", allow="HECK").verdict("heck"), ALLOWED)

    def test_nothing_left(self) -> None:
        """A word of separators only is no word."""
        self.assertRaises(ValueError, entry, " .-\u200b", Action.REFUSE)

    @given(st.text(max_size=30), st.text(max_size=30))
    def test_always_found(self, before: str, behind: str) -> None:
        """Whatever stands around it, a word between spaces is found and hidden, and the text never grows."""
        verdict = words(replace="zqxzq").verdict(f"{before} zqxzq {behind}")
        self.assertIs(verdict.action, Action.REPLACE)
        self.assertNotIn("zqxzq", verdict.text)
        self.assertEqual(len(verdict.text), len(before) + len(behind) + 7)

    def test_check(self) -> None:
        """Of a draft the text is looked at; a medium without text is allowed."""
        draft = Draft(1, "phone", "c", 2, "m", 1, "heck", b"")
        listed = words(refuse="heck")
        self.assertIs(listed.check(draft).action, Action.REFUSE)
        self.assertIs(listed.check(draft._replace(text="", media=b"heck")), ALLOWED)
