"""Text as it is compared, and the way back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.core.screening.folding import folded, folded_with_places


class FoldingTests(SynchronousTestCase):
    """One form for all ways of writing the same."""

    def test_alike(self) -> None:
        """Capitals, full-width letters, ligatures, accents in two pieces and what stands between letters make no difference."""
        for written, plain in {
            "Word": "word",
            "ＷＯＲＤ": "word",
            "w.o r-d": "word",
            "wo\u200brd\ufeff": "word",
            "wo\u00adrd": "word",
            "ﬁsh": "fish",
            "Straße": "strasse",
            "cafe\u0301": "caf\u00e9",
            "ｶﾞ": "ガ",
            "\u1112\u1161\u11ab": "한",
            "你 好，\u3000吗": "你好吗",
            "\u034f\U000e0041x\ufe0f": "x",
            "\u00b4": "",
            "w\u0336o\u0332r\u20ddd\u0489": "word",
            "你\u0336好\u2800吗": "你好吗",
        }.items():
            self.assertEqual(folded(written), plain, written)

    def test_too_many_marks(self) -> None:
        """Thousands of marks on one letter, which would take seconds to be put in order, are as few of them."""
        found = folded_with_places("a" + "\u0315\u0300\uff9e\u0301" * 8000 + "b")
        self.assertEqual(found.text, folded("a" + "\u0315\u0300\uff9e\u0301" * 7 + "\u0315\u0300b"))
        self.assertEqual(found.span(len(found.text) - 1, len(found.text)), (32_001, 32_002))

    def test_signs_stay(self) -> None:
        """Emoji and currencies say something, and can stand on a list."""
        self.assertEqual(folded("a \U0001f595 $"), "a\U0001f595$")

    def test_places(self) -> None:
        """Each character knows which part of the original it comes from, without what separates it from the next."""
        found = folded_with_places("a. ﬁ- e\u0301 !")
        self.assertEqual(found.text, "afi\u00e9")
        self.assertEqual(found.span(0, 1), (0, 1))
        self.assertEqual(found.span(1, 3), (3, 4))
        self.assertEqual(found.span(3, 4), (6, 8))

    @given(st.text(max_size=40))
    def test_same_with_places(self, text: str) -> None:
        """Whatever the text, both ways of folding agree, and places are in order and in the text."""
        found = folded_with_places(text)
        self.assertEqual(found.text, folded(text))
        self.assertEqual(len(found.text), len(found.starts))
        self.assertEqual(found.starts, sorted(found.starts))
        for start, end in zip(found.starts, found.ends, strict=True):
            self.assertTrue(0 <= start < end <= len(text))

    @given(
        st.text(alphabet="e\u0301\u0345ßİ가ㄱㅏ\u1100\u1161\u11a8ｶﾞ\u200d \u0344．K\uffdc\uffa1", max_size=12)
    )
    def test_difficult_letters(self, text: str) -> None:
        """Letters that join and fall apart agree as well."""
        self.assertEqual(folded_with_places(text).text, folded(text))
