"""Findings as people and as programs read them."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from imd.ctl.doctor.finding import Finding, Level, worst_of

WIDTH = 100
#: Who waits for longer is told for what.
PATIENCE_S = 2.0
#: A peer's text must not draw on the operator's terminal.
_CONTROLS = dict.fromkeys([*range(32), *range(0x7F, 0xA0), 0x2028, 0x2029], " ")

_WORDS = {Level.OK: "ok", Level.NOTE: "note", Level.WARN: "WARN", Level.FAIL: "FAIL"}


def lines(findings: Sequence[Finding], *, verbose: bool) -> Iterator[str]:
    """What is wrong, the worst last where the eye is; one line if nothing is.

    :param verbose: also what is right.
    """
    shown = [each for each in findings if verbose or each.level >= Level.WARN]
    for finding in sorted(shown, key=lambda each: each.level):
        yield from _finding(finding)
    counts = {level: sum(each.level == level for each in findings) for level in Level}
    notes = "" if verbose or not counts[Level.NOTE] else f" ({_count(counts[Level.NOTE], 'note')}: --verbose)"
    passed = counts[Level.OK] + counts[Level.NOTE]
    if worst_of(findings) < Level.WARN:
        yield f"all {passed} checks passed{notes}"
        return
    yield (
        f"{_count(counts[Level.FAIL], 'failure')}, {_count(counts[Level.WARN], 'warning')}; "
        f"{passed} checks passed{notes}"
    )


def as_json(findings: Sequence[Finding]) -> str:
    """One object; ``findings`` holds all of them, those that are ok as well."""
    document = {
        "worst": worst_of(findings).name.lower(),
        "findings": [{**each._asdict(), "level": each.level.name.lower()} for each in findings],
    }
    return json.dumps(document, ensure_ascii=False, indent=1)


class Waiting:
    """Says what is waited for, on a terminal's last line or as a line now and then."""

    def __init__(self, *, out: TextIO, seconds: Callable[[], float]) -> None:
        self._out = out
        self._seconds = seconds
        self._terminal = out.isatty()
        self._next_s = seconds() + PATIENCE_S

    def __call__(self, under_way: Sequence[str]) -> None:
        if self._seconds() < self._next_s or not under_way:
            return
        self._next_s = self._seconds() + (0.5 if self._terminal else 5.0)
        text = f"waiting for {', '.join(under_way)}".translate(_CONTROLS)
        self._out.write(f"\r\x1b[K{text[: WIDTH - 1]}" if self._terminal else text + "\n")
        self._out.flush()

    def clear(self) -> None:
        """Before anything else is written."""
        if self._terminal:
            self._out.write("\r\x1b[K")
            self._out.flush()


def stderr_waiting(seconds: Callable[[], float]) -> Waiting:
    """On the error output, so that what is found can be piped."""
    return Waiting(out=sys.stderr, seconds=seconds)


def _finding(finding: Finding) -> Iterator[str]:
    yield f"{_WORDS[finding.level]:<5} {finding.check}: {_clean(finding.about)}: {_clean(finding.found)}"
    for label, text in (("", finding.means), ("do: ", finding.do)):
        if text:
            yield from textwrap.wrap(
                label + _clean(text), WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6,
                break_long_words=False, break_on_hyphens=False,
            )  # fmt: skip


def _clean(text: str) -> str:
    return text.translate(_CONTROLS)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
