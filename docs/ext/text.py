"""reStructuredText, put together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

#: Underlines from the title down.
LEVELS = "=-~"


def heading(text: str, level: int = 0) -> list[str]:
    """A title of this level and an empty line."""
    return [text, LEVELS[level] * len(text), ""]


def literal(text: object) -> str:
    """Code in a line."""
    return f"``{text}``" if str(text) else ""


def plain(text: str) -> str:
    """Prose from a docstring, in which nothing is markup but what stands in double backquotes."""
    parts = re.split(r"(``[^`]+``)", " ".join(text.split()))
    return "".join(part if part.startswith("``") else re.sub(r"([\\*`|_])", r"\\\1", part) for part in parts)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, widths: Sequence[int]) -> list[str]:
    """A ``list-table``; cells are one line each.

    :param widths: of the columns, in relation to each other.
    """
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {' '.join(map(str, widths))}", ""]
    for row in (head, *rows):
        lines += [f"   {'*' if not number else ' '} - {cell}".rstrip() for number, cell in enumerate(row)]
    return [*lines, ""]
