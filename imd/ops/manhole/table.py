"""What operators are shown: rows in columns, and never more than a screen or two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

#: Rows that are shown where nobody says how many.
DEFAULT_ROWS = 40
#: Rows that are shown at most, whatever somebody says.
MAX_ROWS = 1_000
#: A cell's width.
MAX_CELL = 72


class Table:
    """Rows, each a value a column; its ``repr`` is the table, which a prompt shows by itself.

    :param rows: is gone through once, and no further than is shown.
    :param total: how many rows there would be; None: as many as ``rows`` has.
    :param note: a line below.
    """

    def __init__(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[object]],
        *,
        title: str = "",
        limit: int = DEFAULT_ROWS,
        total: int | None = None,
        note: str = "",
    ) -> None:
        limit = max(1, min(limit, MAX_ROWS))
        shown = [tuple(map(_cell, row)) for row in islice(rows, limit + 1)]
        self.columns = tuple(columns)
        self.rows = shown[:limit]
        self._title = title
        self._note = note
        if total is not None and total > len(self.rows):
            self._more = f"... {total - len(self.rows)} more"
        else:
            self._more = "... and more" if len(shown) > limit else ""

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        lines = [self._title] if self._title else []
        if self.rows:
            widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
            ruled = [self.columns, ["-" * width for width in widths], *self.rows]
            lines += ["  ".join(map(str.ljust, row, widths)).rstrip() for row in ruled]
        else:
            lines.append("(none)")
        lines += [text for text in (self._more, self._note) if text]
        return "\n".join(lines)


class Page:
    """Text that a prompt shows as it is."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def facts(title: str, pairs: Iterable[tuple[str, object]], *, note: str = "") -> Table:
    """Names and values, one a line."""
    return Table(("what", "value"), pairs, title=title, limit=MAX_ROWS, note=note)


def _cell(value: object) -> str:
    text = f"{value:,.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    # What users call themselves must not draw on the operator's terminal.
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 3] + "..."
