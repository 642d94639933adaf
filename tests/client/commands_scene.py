"""A screen that remembers, for chats without a terminal."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed


class RememberingScreen:
    """What a user would see: lines with their marks, and the prompt."""

    def __init__(self) -> None:
        self.lines: list[list[str]] = []
        self.prompted = ""
        self.open = True

    def line(self, text: str, mark: str = "", *, pending: bool = False) -> int:
        self.lines.append([mark, text])
        return len(self.lines) - 1

    def remark(self, number: int, mark: str) -> None:
        self.lines[number][0] = mark

    def prompt(self, text: str) -> None:
        self.prompted = text

    def close(self) -> Deferred[None]:
        self.open = False
        return succeed(None)

    def mark_of(self, text: str) -> str:
        """The mark of the only line that ends like this."""
        [mark] = [mark for mark, line in self.lines if line.endswith(text)]
        return mark

    def shows(self, text: str) -> bool:
        """Whether some line has this in it."""
        return any(text in line for _, line in self.lines)
