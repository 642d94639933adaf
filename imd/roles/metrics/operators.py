"""Operators, and those who would be, that were refused."""

from __future__ import annotations

from collections.abc import Iterator

from imd.ops.metrics.readings import Reading, Source, by_label
from imd.ops.operator_guesses import OperatorGuesses


def refused_operators_source(guesses: OperatorGuesses) -> Source:
    """Of a role that serves operators."""

    def read() -> Iterator[Reading]:
        yield from by_label("imd_operators_refused_total", guesses.refused)

    return read
