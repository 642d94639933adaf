"""Text as it is compared: one form for all ways of writing the same, and the way back to what was written.

NFKC and case folding make full-width, ligatures and capitals alike; what can be put between letters without
changing what people read (spaces, punctuation, zero-width characters, strokes through letters) is left out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterator
from typing import NamedTuple

#: General categories that people see as something between letters. Symbols that say something, emoji (So) and
#: currencies (Sc), are letters here.
_SEPARATING = frozenset(("Cc", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "Sk", "Sm", "Zl", "Zp", "Zs"))
#: Drawn as nothing, though their category says letter or mark: fillers, joiners, variation selectors.
_INVISIBLE = (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0)
_INVISIBLE_RANGES = ((0xFE00, 0xFE10), (0x180B, 0x1810), (0xE0000, 0xE1000))
#: Marks that strike a letter through, line it above or below, or enclose it, and spell no other one.
_ORNAMENTS = ((0x0305, 0x0306), (0x0332, 0x0339), (0x033F, 0x0340), (0x20D0, 0x20F1), (0xFE20, 0xFE30))
#: Blank, though its category says symbol: the empty cell of Braille.
_BLANK = "\u2800"
#: Letters that join the one before: vowels and finals of Hangul, and the half-width forms of these and of kana.
_JOINING = re.compile("[\u1160-\u11ff\u3131-\u318e\uff9e-\uffdc]")
#: Beyond are ideographs, and what ``_INVISIBLE_RANGES`` names.
_PLANES_WITH_SIGNS = 0x20000


def _of_categories(categories: Container[str]) -> set[int]:
    return {code for code in range(_PLANES_WITH_SIGNS) if unicodedata.category(chr(code)) in categories}


SEPARATORS = frozenset((*map(chr, _of_categories(_SEPARATING)), _BLANK))
#: For ``str.translate``.
_LEFT_OUT = dict.fromkeys(
    {*map(ord, SEPARATORS), *_of_categories(("Cf", "Me")), *_INVISIBLE}.union(
        *(range(*one) for one in (*_INVISIBLE_RANGES, *_ORNAMENTS))
    )
)
#: Marks on one letter that are compared; no script needs as many (the bound of Unicode's Stream-Safe Text Format).
#: To bring a run of thousands into order takes the square of its length: seconds for one message.
MAX_MARKS = 30


def _is_mark(code: int) -> bool:
    """Whether it is put in order with the marks around it."""
    return all(map(unicodedata.combining, unicodedata.normalize("NFKD", chr(code))))


_MARK = "[" + "".join(chr(code) for code in range(0x300, _PLANES_WITH_SIGNS) if _is_mark(code)) + "]"
_TOO_MANY_MARKS = re.compile(f"({_MARK}{{{MAX_MARKS}}}){_MARK}+")


def folded(text: str) -> str:
    """The text as it is compared."""
    if text.isascii():
        return text.lower().translate(_LEFT_OUT)
    plain = _TOO_MANY_MARKS.sub(r"\1", text.translate(_LEFT_OUT))
    normal = _normal(plain)
    # Some signs fall apart into several, a space among them.
    return normal if normal == plain else normal.translate(_LEFT_OUT)


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


class Folded(NamedTuple):
    """``text`` as of ``folded``; character ``i`` of it comes from ``starts[i]`` to ``ends[i]`` of the original."""

    text: str
    starts: list[int]
    ends: list[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where this part of the folded text stands in the original."""
        return self.starts[start], self.ends[end - 1]


def folded_with_places(text: str) -> Folded:
    """The same as ``folded``, and slower: for text in which something was found."""
    if text.isascii():
        starts = [start for start, code in enumerate(text.encode()) if code not in _LEFT_OUT]
        return Folded(folded(text), starts, [start + 1 for start in starts])
    known: dict[str, str] = {}
    parts: list[str] = []
    starts = []
    ends: list[int] = []
    for start, end in _pieces(text):
        piece = text[start:end]
        part = known.get(piece)
        if part is None:
            part = known[piece] = folded(piece)
        parts.append(part)
        starts += [start] * len(part)
        ends += [_last_seen(text, start, end)] * len(part)
    whole = folded(text)
    if "".join(parts) != whole:
        # Something joins across pieces that we do not know of: all of it is one piece then.
        return Folded(whole, [0] * len(whole), [len(text)] * len(whole))
    return Folded(whole, starts, ends)


def _last_seen(text: str, start: int, end: int) -> int:
    """Separators behind a letter are not part of it."""
    while end > start + 1 and ord(text[end - 1]) in _LEFT_OUT:
        end -= 1
    return end


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Parts that can be folded one by one: a letter, with the marks and separators behind it."""
    start = 0
    for index in range(1, len(text)):
        character = text[index]
        if character < "\u0300":
            joins = ord(character) in _LEFT_OUT
        else:
            joins = _joins(character)
        if not joins:
            yield start, index
            start = index
    if text:
        yield start, len(text)


def _joins(character: str) -> bool:
    return (
        ord(character) in _LEFT_OUT
        or unicodedata.category(character)[0] == "M"
        or _JOINING.match(character) is not None
    )
