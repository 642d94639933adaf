"""The word filter: many thousand words looked for at once, in a microsecond or two.

A word counts inside longer ones too, as Chinese needs it; an ``allow`` entry makes the exceptions ("Scunthorpe"), since
of entries that overlap the one that begins first wins, and of those the longest. Letters that are spread out
("f u c k") count only from the beginning of a word to the end of one: "basic untruth" is harmless.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from unicodedata import east_asian_width

from ahocorasick_rs import AhoCorasick, MatchKind

from imd.core.screening.folding import SEPARATORS, Folded, folded, folded_with_places
from imd.core.screening.model import ALLOWED, Action, Draft, Verdict

#: What stands in place of each character of a replaced word; as short as any in UTF-8, so a text never grows.
MASK = "*"
#: More would be a book: 100,000 words take some 20 MB and a quarter of a second to build.
MAX_WORDS = 200_000


class Entry(NamedTuple):
    """One word, folded, and what it does."""

    word: str
    action: Action


class _Match(NamedTuple):
    action: Action
    start: int
    end: int


class Words:
    """All words that count now, ready for looking up. Never changed, so that new ones can be made in a thread.

    See ``ContentCheck``; costs no await.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        # The stricter of two entries for the same word counts, but an exception is meant as one.
        strictest: dict[str, Action] = {}
        for word, action in entries:
            known = strictest.get(word, action)
            strictest[word] = min(known, action) if Action.ALLOW in (known, action) else max(known, action)
        self._actions = list(strictest.values())
        self._automaton = AhoCorasick(strictest, matchkind=MatchKind.LeftmostLongest) if strictest else None

    def __len__(self) -> int:
        return len(self._actions)

    def check(self, draft: Draft) -> Verdict:
        """See ``ContentCheck``."""
        return self.verdict(draft.text) if draft.text else ALLOWED

    def verdict(self, text: str) -> Verdict:
        """What becomes of this text."""
        automaton = self._automaton
        if automaton is None or not automaton.find_matches_as_indexes(folded(text)):
            return ALLOWED
        matches = self._matches(text, folded_with_places(text))
        action = max((match.action for match in matches), default=Action.ALLOW)
        if action is Action.ALLOW:
            return ALLOWED
        if action is Action.REPLACE:
            return Verdict(action, text=_masked(text, matches))
        return Verdict(action, reason="word")

    def _matches(self, text: str, found: Folded) -> list[_Match]:
        whole = list(self._found(found, 0, len(found.text)))
        matches = [match for match in whole if not _is_spread(text, match) or _is_of_whole_words(text, match)]
        if len(matches) < len(whole):
            # What was thrown out may have hidden words that stand in one piece.
            for start, end in _runs(text, found):
                matches += self._found(found, start, end)
        return matches

    def _found(self, found: Folded, first: int, end: int) -> Iterator[_Match]:
        assert self._automaton is not None
        for word, start, stop in self._automaton.find_matches_as_indexes(found.text[first:end]):
            yield _Match(self._actions[word], *found.span(first + start, first + stop))


def entry(word: str, action: Action) -> Entry:
    """An entry as it is looked for.

    :raises ValueError: nothing would be left of it.
    """
    plain = folded(word)
    if not plain:
        raise ValueError(f"{word!r} has no letter")
    return Entry(plain, action)


def _is_spread(text: str, match: _Match) -> bool:
    return any(character in SEPARATORS for character in text[match.start : match.end])


def _is_of_whole_words(text: str, match: _Match) -> bool:
    before, first = text[match.start - 1 : match.start], text[match.start]
    last, behind = text[match.end - 1], text[match.end : match.end + 1]
    return not (_go_on(before, first) or _go_on(last, behind))


def _go_on(left: str, right: str) -> bool:
    """Whether one word holds both, in a script that has a sign between words."""
    return left.isalnum() and right.isalnum() and not (_is_wide(left) or _is_wide(right))


def _is_wide(character: str) -> bool:
    return east_asian_width(character) in "WF"


def _runs(text: str, found: Folded) -> Iterator[tuple[int, int]]:
    """Parts of the folded text between whose letters nothing is seen."""
    first = 0
    for index in range(1, len(found.text)):
        between = text[found.ends[index - 1] : found.starts[index]]
        if between and not SEPARATORS.isdisjoint(between):
            yield first, index
            first = index
    yield first, len(found.text)


def _masked(text: str, matches: Sequence[_Match]) -> str:
    hidden = bytearray(len(text))
    for _, start, end in (match for match in matches if match.action is Action.REPLACE):
        hidden[start:end] = b"\1" * (end - start)
    return "".join(MASK if hide else character for character, hide in zip(text, hidden, strict=True))
