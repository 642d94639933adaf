"""How far it is: a line that moves on a terminal, now and then a line elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TextIO, TypeVar

T = TypeVar("T")

#: The eye follows no more on a terminal; a log wants little.
_TERMINAL_EVERY_S = 0.1
_LOG_EVERY_S = 10.0
_BAR_WIDTH = 24
#: Rows between two looks at the clock.
_LOOK_EVERY = 500


class Progress:
    """One thing after the other: ``begin``, ``advance`` often, ``end``.

    :param seconds: monotonic time.
    """

    def __init__(self, *, out: TextIO, seconds: Callable[[], float], terminal: bool) -> None:
        self._out = out
        self._seconds = seconds
        self._terminal = terminal
        self._what = ""
        self._total = self._done = self._before = 0
        self._begun_s = self._shown_s = 0.0

    def say(self, line: str) -> None:
        """A line of its own."""
        self._out.write(f"{line}\n")
        self._out.flush()

    def begin(self, what: str, total: int, *, done: int = 0) -> None:
        """So many, of which an earlier run has done some."""
        self._what, self._total, self._done, self._before = what, total, done, done
        self._begun_s = self._shown_s = self._seconds()
        if self._terminal:
            self._show()

    def advance(self, count: int) -> None:
        """So many more are done."""
        self._done += count
        every_s = _TERMINAL_EVERY_S if self._terminal else _LOG_EVERY_S
        if self._seconds() - self._shown_s >= every_s:
            self._show()

    def begin_bytes(self, what: str, total: int) -> Callable[[int], None]:
        """The same for bytes, told in KiB; call what is returned with how many more there are."""
        self.begin(f"{what}, KiB", total >> 10)
        passed = 0

        def advance(count: int) -> None:
            nonlocal passed
            before, passed = passed, passed + count
            self.advance((passed >> 10) - (before >> 10))

        return advance

    def watch(self, what: str, total: int, rows: Iterable[T]) -> Iterator[T]:
        """The same rows, shown as they pass."""
        self.begin(what, total)
        for number, row in enumerate(rows, 1):
            if number % _LOOK_EVERY == 0:
                self.advance(_LOOK_EVERY)
            yield row
        self.advance(total - self._done)
        self.end()

    def end(self) -> None:
        """All are done."""
        self._show(last=True)

    def _show(self, *, last: bool = False) -> None:
        now_s = self._shown_s = self._seconds()
        elapsed_s = now_s - self._begun_s
        here = self._done - self._before
        rate = here / elapsed_s if elapsed_s > 0 else 0.0
        share = min(1.0, self._done / self._total) if self._total else 1.0
        text = f"{self._what}: {self._done:,} of {self._total:,} ({share:.0%}), {rate:,.0f}/s"
        if last:
            text += f", took {_duration(elapsed_s)}"
        elif rate:
            text += f", {_duration((self._total - self._done) / rate)} left"
        if not self._terminal:
            self.say(text)
            return
        filled = int(share * _BAR_WIDTH)
        self._out.write(
            f"\r\x1b[K[{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {text}" + ("\n" if last else "")
        )
        self._out.flush()


def _duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
