"""The whole terminal for a while, left as it was found, whatever happens meanwhile."""

from __future__ import annotations

import os
import select
import shutil
import signal
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

#: The other screen, so that what was there before is there again afterwards; no cursor; no line wraps.
_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[?7l"
_LEAVE: Final = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME: Final = "\x1b[H"
_REST_OF_LINE: Final = "\x1b[K"
_REST_OF_SCREEN: Final = "\x1b[J"


class Terminal:
    """What is shown, and the keys that are pressed.

    :param wake_fd: becomes readable when the terminal was given another size.
    """

    def __init__(self, *, keys_fd: int, screen_fd: int, wake_fd: int) -> None:
        self._keys_fd = keys_fd
        self._screen_fd = screen_fd
        self._wake_fd = wake_fd

    def show(self, lines: Sequence[str]) -> None:
        """These lines and nothing else, in one go, so that nothing flickers."""
        room = self.size()[1]
        text = (_REST_OF_LINE + "\r\n").join(lines[:room])
        self.write(_HOME + text + _REST_OF_LINE + _REST_OF_SCREEN)

    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        try:
            size = os.get_terminal_size(self._screen_fd)
        except OSError:
            size = shutil.get_terminal_size()
        return size.columns, size.lines

    def wait(self, timeout_s: float) -> str | None:
        """What is pressed meanwhile; "" if the size has changed, None if nothing happens, ^D if the terminal has gone."""
        ready, _, _ = select.select([self._keys_fd, self._wake_fd], [], [], max(timeout_s, 0.0))
        if self._keys_fd in ready:
            return os.read(self._keys_fd, 64).decode("ascii", "replace") or "\x04"
        if self._wake_fd in ready:
            os.read(self._wake_fd, 64)
            return ""
        return None

    def write(self, text: str) -> None:
        """As it is."""
        data = memoryview(text.encode("utf-8", "replace"))
        while data:
            data = data[os.write(self._screen_fd, data) :]


@contextmanager
def whole_terminal(*, keys_fd: int, screen_fd: int) -> Iterator[Terminal]:
    """The terminal while the block runs. In there ^C and ^Z are keys like others; SIGTERM raises SystemExit."""
    found = termios.tcgetattr(keys_fd)
    wanted = termios.tcgetattr(keys_fd)
    wanted[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG | termios.IEXTEN)
    with _signals() as wake_fd:
        terminal = Terminal(keys_fd=keys_fd, screen_fd=screen_fd, wake_fd=wake_fd)
        try:
            termios.tcsetattr(keys_fd, termios.TCSADRAIN, wanted)
            terminal.write(_ENTER)
            yield terminal
        finally:
            try:
                terminal.write(_LEAVE)
            finally:
                termios.tcsetattr(keys_fd, termios.TCSADRAIN, found)


@contextmanager
def _signals() -> Iterator[int]:
    """A file descriptor to read from at another size."""
    read_fd, write_fd = os.pipe()
    for fd in (read_fd, write_fd):
        os.set_blocking(fd, False)
    before = {
        signal.SIGWINCH: signal.signal(signal.SIGWINCH, _resized),
        signal.SIGTERM: signal.signal(signal.SIGTERM, _terminated),
    }
    woke = signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
    try:
        yield read_fd
    finally:
        signal.set_wakeup_fd(woke)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(read_fd)
        os.close(write_fd)


def _resized(number: int, _: FrameType | None) -> None:
    """The wake-up alone counts; without a handler there would be none."""


def _terminated(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)
