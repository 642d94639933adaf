"""Where a chat is shown: a terminal with an input line at the bottom, or a plain pipe."""

from __future__ import annotations

import codecs
import fcntl
import os
import re
import shutil
import termios
from collections import deque
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.stdio import StandardIO
from twisted.python.failure import Failure
from zope.interface import implementer

from imd.client.commands.line_editor import Done, LineEditor
from imd.client.commands.render import rows_of, width

#: Lines whose marks can still change; more would have scrolled away.
MAX_TRACKED = 500
#: Above what any message may have: a longer line is refused as a whole by what is left of it.
MAX_LINE_BYTES = 512 * 1024
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_NO_MARK = "  "


class Typist(Protocol):
    """Who hears what the user does."""

    def entered(self, line: str) -> None: ...

    def key_pressed(self) -> None: ...

    def input_ended(self) -> None: ...


class Screen(Protocol):
    """What a chat needs. A mark has two columns and stands before its line."""

    def line(self, text: str, mark: str = "", *, pending: bool = False) -> int:
        """Show a line; its number, for ``remark``. ``pending``: its fate will be told by ``remark``."""
        ...

    def remark(self, number: int, mark: str) -> None:
        """Change the mark of a line, if that can still be seen."""
        ...

    def prompt(self, text: str) -> None:
        """What stands before the input."""
        ...

    def close(self) -> Deferred[None]:
        """Leave everything as it was found; fires when all has been written."""
        ...


class _Stdio(TwistedProtocol):
    """Standard input and output; both are made non-blocking by Twisted, and blocking again at the end."""

    def __init__(self, typist: Typist) -> None:
        self.typist = typist
        self._closed: Deferred[None] = Deferred()
        self._flags = [(fd, fcntl.fcntl(fd, fcntl.F_GETFL)) for fd in (0, 1)]

    def write(self, text: str) -> None:
        if self.transport is not None:
            self.transport.write(text.encode("utf-8", "replace"))

    def readConnectionLost(self) -> None:
        self.typist.input_ended()

    def writeConnectionLost(self) -> None:
        self.typist.input_ended()

    def connectionLost(self, reason: Failure = Failure(ConnectionError())) -> None:  # noqa: B008
        self.typist.input_ended()
        for fd, flags in self._flags:
            fcntl.fcntl(fd, fcntl.F_SETFL, flags)
        if not self._closed.called:
            self._closed.callback(None)

    def close(self) -> Deferred[None]:
        if self.transport is not None:
            self.transport.loseConnection()
        return self._closed


@implementer(IHalfCloseableProtocol)
class PipeScreen(_Stdio):
    """Lines in, lines out. A pending line is shown when its fate is known, and whenever that changes."""

    def __init__(self, typist: Typist) -> None:
        super().__init__(typist)
        self._pending = b""
        self._marked: deque[tuple[int, str]] = deque(maxlen=MAX_TRACKED)
        self._count = 0

    def dataReceived(self, data: bytes) -> None:
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            self.typist.entered(line.decode("utf-8", "replace").rstrip("\r"))
        self._pending = self._pending[:MAX_LINE_BYTES]

    def readConnectionLost(self) -> None:
        if self._pending:
            self.typist.entered(self._pending.decode("utf-8", "replace"))
            self._pending = b""
        super().readConnectionLost()

    def line(self, text: str, mark: str = "", *, pending: bool = False) -> int:
        self._count += 1
        if pending:
            self._marked.append((self._count, text))
        else:
            self.write(f"{mark or _NO_MARK} {text}\n")
        return self._count

    def remark(self, number: int, mark: str) -> None:
        for marked, text in self._marked:
            if marked == number:
                self.write(f"{mark} {text}\n")

    def prompt(self, text: str) -> None:
        """A pipe has none."""


@implementer(IHalfCloseableProtocol)
class TerminalScreen(_Stdio):
    """Text scrolls above one line of input; marks are changed in place."""

    def __init__(self, typist: Typist) -> None:
        super().__init__(typist)
        self._editor = LineEditor()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._prompt = "> "
        self._columns = 80
        self._tracked: deque[tuple[int, int]] = deque(maxlen=MAX_TRACKED)
        self._count = 0
        self._found = termios.tcgetattr(0)
        wanted = termios.tcgetattr(0)
        # Keys come one by one and unechoed; ^C and ^Z are keys too, so that nobody is left in this mode.
        wanted[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG | termios.IEXTEN)
        wanted[0] &= ~termios.IXON
        termios.tcsetattr(0, termios.TCSADRAIN, wanted)

    def dataReceived(self, data: bytes) -> None:
        for finished in self._editor.feed(self._decoder.decode(data)):
            if finished is Done.END:
                self.typist.input_ended()
                return
            self.typist.entered(str(finished))
        if self._editor.text:
            self.typist.key_pressed()
        self.write(self._redrawn())

    def line(self, text: str, mark: str = "", *, pending: bool = False) -> int:
        self._measure()
        self._count += 1
        rows = rows_of("   " + _COLOURS.sub("", text), self._columns)
        self._tracked.append((self._count, rows))
        self.write(f"\r\x1b[K{mark or _NO_MARK} {text}\n{self._redrawn()}")
        return self._count

    def remark(self, number: int, mark: str) -> None:
        self._measure()
        up = sum(rows for tracked, rows in self._tracked if tracked >= number)
        known = any(tracked == number for tracked, _ in self._tracked)
        if known and up < shutil.get_terminal_size().lines:
            self.write(f"\r\x1b[{up}A{mark}\r\x1b[{up}B{self._redrawn()}")

    def prompt(self, text: str) -> None:
        if text != self._prompt:
            self._prompt = text
            self.write(self._redrawn())

    def close(self) -> Deferred[None]:
        self.write("\r\x1b[K")
        termios.tcsetattr(0, termios.TCSADRAIN, self._found)
        return super().close()

    def _measure(self) -> None:
        """After a resize nobody knows on which row a line stands."""
        columns = shutil.get_terminal_size().columns
        if columns != self._columns:
            self._columns = columns
            self._tracked.clear()

    def _redrawn(self) -> str:
        columns = shutil.get_terminal_size().columns
        prompt = self._prompt
        if (used := width(_COLOURS.sub("", prompt))) > columns // 2:
            # A narrow terminal: what is typed matters more.
            prompt, used = "> ", 2
        visible, cursor = self._editor.visible(max(columns - used - 1, 2))
        back = used + cursor
        return f"\r\x1b[K{prompt}{visible}\r" + (f"\x1b[{back}C" if back else "")


def open_screen(typist: Typist, *, reactor: Any) -> Screen:
    """The one that fits what stdin and stdout are."""
    on_terminal = os.isatty(0) and os.isatty(1) and os.environ.get("TERM") != "dumb"
    screen = TerminalScreen(typist) if on_terminal else PipeScreen(typist)
    StandardIO(screen, reactor=reactor)
    return screen
