"""One line of input with a cursor: keys in, finished lines out. No I/O."""

from __future__ import annotations

from enum import Enum

from imd.client.commands.render import harmless, width

#: More is not kept. Above what any message may have, so that a paste is sent whole or refused, never cut.
MAX_CHARACTERS = 300_000
MAX_REMEMBERED = 100

_SEQUENCES = {
    "[A": "up",
    "[B": "down",
    "[C": "right",
    "[D": "left",
    "[H": "home",
    "[F": "end",
    "OH": "home",
    "OF": "end",
    "[1~": "home",
    "[4~": "end",
    "[3~": "delete",
}


class Done(Enum):
    """The user wants to leave."""

    END = "end"


class LineEditor:
    """Emacs keys, as far as fingers know them: arrows, home, end, delete, ^A ^E ^K ^U ^W, history."""

    def __init__(self) -> None:
        self._characters: list[str] = []
        self._cursor = 0
        self._escape: str | None = None
        self._remembered: list[str] = []
        self._recalled = 0

    @property
    def text(self) -> str:
        """What stands there now."""
        return "".join(self._characters)

    def feed(self, keys: str) -> list[str | Done]:
        """Lines that were finished by these keys, and Done for ^C, or ^D on an empty line."""
        finished: list[str | Done] = []
        for key in keys:
            if self._escape is not None:
                self._in_escape(key)
            elif key in "\r\n":
                finished.append(self._finish())
            elif key == "\x03" or (key == "\x04" and not self._characters):
                finished.append(Done.END)
            else:
                self._press(key)
        return finished

    def visible(self, columns: int) -> tuple[str, int]:
        """The part around the cursor that fits, and the cursor's column in it."""
        start = end = self._cursor
        before = 0
        while start and before + (more := self._width(start - 1)) < columns:
            start -= 1
            before += more
        used = before
        while end < len(self._characters) and used + (more := self._width(end)) < columns:
            end += 1
            used += more
        return harmless("".join(self._characters[start:end])), before

    def _width(self, index: int) -> int:
        return width(harmless(self._characters[index]))

    def _finish(self) -> str:
        line = self.text
        self._characters.clear()
        self._cursor = 0
        if line.strip():
            self._remembered = [*self._remembered[1 - MAX_REMEMBERED :], line]
        self._recalled = len(self._remembered)
        return line

    def _press(self, key: str) -> None:
        if key == "\x1b":
            self._escape = ""
        elif key in "\x7f\x08":
            self._delete(self._cursor - 1)
        elif key == "\x15":
            del self._characters[: self._cursor]
            self._cursor = 0
        elif key == "\x17":
            self._delete_word()
        elif key == "\x0b":
            del self._characters[self._cursor :]
        elif key in "\x01\x05":
            self._cursor = 0 if key == "\x01" else len(self._characters)
        elif key == "\x04":
            self._delete(self._cursor)
        elif (key >= " " or key == "\t") and len(self._characters) < MAX_CHARACTERS:
            self._characters.insert(self._cursor, key)
            self._cursor += 1

    def _in_escape(self, key: str) -> None:
        assert self._escape is not None
        self._escape += key
        if self._escape in ("[", "O") or (key.isdigit() or key == ";"):
            if len(self._escape) > 8:
                self._escape = None
            return
        named = _SEQUENCES.get(self._escape)
        self._escape = None
        if named is not None:
            self._move(named)

    def _move(self, named: str) -> None:
        if named == "left":
            self._cursor = max(0, self._cursor - 1)
        elif named == "right":
            self._cursor = min(len(self._characters), self._cursor + 1)
        elif named == "home":
            self._cursor = 0
        elif named == "end":
            self._cursor = len(self._characters)
        elif named == "delete":
            self._delete(self._cursor)
        else:
            self._recall(-1 if named == "up" else 1)

    def _recall(self, step: int) -> None:
        self._recalled = min(max(self._recalled + step, 0), len(self._remembered))
        line = self._remembered[self._recalled] if self._recalled < len(self._remembered) else ""
        self._characters = list(line)
        self._cursor = len(self._characters)

    def _delete(self, index: int) -> None:
        if 0 <= index < len(self._characters):
            del self._characters[index]
            if index < self._cursor:
                self._cursor -= 1

    def _delete_word(self) -> None:
        while self._cursor and self._characters[self._cursor - 1].isspace():
            self._delete(self._cursor - 1)
        while self._cursor and not self._characters[self._cursor - 1].isspace():
            self._delete(self._cursor - 1)
