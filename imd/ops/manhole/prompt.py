"""Python, line by line, with an end to everything: to what is shown, to how long it takes, to what is typed."""

from __future__ import annotations

import inspect
import signal
import threading
from code import InteractiveInterpreter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

from twisted.conch.manhole import Manhole, ManholeInterpreter
from twisted.internet.defer import Deferred

#: What one line may show.
MAX_OUTPUT_CHARS = 64 * 1024
#: Typed before Return; also of a whole block of lines.
MAX_LINE_CHARS = 16 * 1024
#: Lines that the up arrow brings back.
MAX_HISTORY = 500
#: A line that takes longer holds everybody up, and is interrupted.
MAX_RUN_S = 5.0
#: And again so often, as long as it catches that.
AGAIN_S = 0.5


#: Is on the stack while anything of a line runs, the showing of what went wrong included.
_RUNS = InteractiveInterpreter.runcode.__code__


class TooLong(BaseException):
    """A line ran for longer than ``MAX_RUN_S``. Not an ``Exception``, so that what it interrupts does not catch it."""


class Interpreter(ManholeInterpreter):
    """Runs what is typed. Nothing of it gets out: not an exception, not ``SystemExit``, not an endless loop.

    :param leave: called for ``exit()``.
    """

    def __init__(self, handler: Any, namespace: Mapping[str, object], *, leave: Callable[[], None]) -> None:
        super().__init__(handler, {"__name__": "__console__", "__doc__": None, **namespace})
        self._leave = leave
        self.failed = False
        #: What was shown before it was there.
        self.pending: set[Deferred[Any]] = set()

    def runcode(self, code: CodeType, /) -> None:
        try:
            with interrupted_after(MAX_RUN_S):
                super().runcode(code)
        except SystemExit:
            self._leave()
        except TooLong as error:
            # Between the line's end and the timer's.
            self.write(f"{error}\n")

    def showtraceback(self) -> None:
        self.failed = True
        super().showtraceback()

    def showsyntaxerror(self, *args: Any, **kwargs: Any) -> None:
        self.failed = True
        super().showsyntaxerror(*args, **kwargs)

    def displayhook(self, obj: object) -> None:
        # What is asynchronous here is written as a coroutine.
        if inspect.iscoroutine(obj):
            obj = Deferred.fromCoroutine(obj)
        if isinstance(obj, Deferred):
            # Whatever becomes of it is shown; nobody else looks at it.
            self.pending.add(obj)
            obj.addCallbacks(self._came, self._went_wrong)
            obj.addBoth(self._done, obj)
        else:
            super().displayhook(obj)

    def _done(self, result: object, shown: Deferred[Any]) -> object:
        self.pending.discard(shown)
        return result

    def _came(self, result: object) -> object:
        self.locals["_"] = result
        if result is not None:
            self.handler.addOutput(f"{result!r}\n", True)
        return result

    def _went_wrong(self, failure: Any) -> None:
        self.failed = True
        self.handler.addOutput(f"{failure.type.__name__}: {failure.getErrorMessage()}\n", True)


class Prompt(Manhole):
    """A terminal's prompt.

    :param typed: told of every line.
    :param touched: told of every keystroke.
    """

    ps = (b"imd> ", b"...  ")

    def __init__(
        self,
        namespace: Mapping[str, object],
        *,
        greeting: str,
        typed: Callable[[str], None],
        touched: Callable[[], None],
    ) -> None:
        super().__init__()
        self._names = namespace
        self._greeting = greeting
        self._typed = typed
        self._touched = touched
        self._shown = 0

    def connectionMade(self) -> None:
        super().connectionMade()
        self.interpreter = Interpreter(self, self._names, leave=self.handle_QUIT)

    def initializeScreen(self) -> None:
        # Without a reset of the terminal: what stands there stays.
        self.terminal.write(f"{self._greeting}\n{self.ps[self.pn].decode()}")
        self.setInsertMode()

    def terminalSize(self, width: int, height: int) -> None:
        self.width, self.height = width, height

    def keystrokeReceived(self, keyID: Any, modifier: Any) -> None:
        self._touched()
        super().keystrokeReceived(keyID, modifier)

    def characterReceived(self, ch: bytes, moreCharactersComing: bool) -> None:
        if len(self.lineBuffer) >= MAX_LINE_CHARS:
            self.terminal.write(b"\a")
        else:
            super().characterReceived(ch, moreCharactersComing)

    def lineReceived(self, line: bytes) -> None:
        del self.historyLines[:-MAX_HISTORY]
        self._shown = 0
        self._typed(line.decode("ascii", "replace"))
        if sum(map(len, self.interpreter.buffer)) > MAX_LINE_CHARS:
            self.interpreter.resetBuffer()
            self.addOutput("too long; begun anew\n")
        super().lineReceived(line)

    def addOutput(self, data: str, isAsync: bool | None = None) -> None:
        super().addOutput(self._bounded(data), isAsync)

    def _bounded(self, data: str) -> str:
        room = MAX_OUTPUT_CHARS - self._shown
        self._shown += len(data)
        if len(data) <= room:
            return data
        return f"{data[:room]}\n... cut after {MAX_OUTPUT_CHARS} characters\n" if room > 0 else ""


class OneLine:
    """What was given to ``ssh`` itself, an expression or several lines: what it shows is collected."""

    def __init__(self, namespace: Mapping[str, object]) -> None:
        self._parts: list[str] = []
        self._shown = 0
        self._interpreter = Interpreter(self, namespace, leave=lambda: None)

    async def run(self, source: str) -> tuple[str, bool]:
        """What it shows, and whether it went well."""
        source = source.strip()
        several = "\n" in source
        # The line end ends a block that begins in the line.
        if self._interpreter.runsource(f"{source}\n", "<ssh>", "exec" if several else "single"):
            return "incomplete\n", False
        for each in list(self._interpreter.pending):
            await each
        text = "".join(self._parts)
        return text if text.endswith("\n") or not text else text + "\n", not self._interpreter.failed

    def addOutput(self, data: str, isAsync: bool | None = None) -> None:
        """As of ``Prompt``, for the interpreter."""
        room = MAX_OUTPUT_CHARS - self._shown
        self._shown += len(data)
        if room > 0:
            self._parts.append(data[:room])
            if len(data) > room:
                self._parts.append(f"\n... cut after {MAX_OUTPUT_CHARS} characters\n")


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """Raise ``TooLong`` in what runs for longer, again and again.

    Not a fence: what is determined to catch that at every turn runs for ever, and where signals cannot be used anything
    may.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, frame: FrameType | None) -> None:
        while frame is not None and frame.f_code is not _RUNS:
            frame = frame.f_back
        if frame is None:
            # The line has ended; what is put in order after it must not be interrupted.
            return
        raise TooLong(f"it ran for {MAX_RUN_S:g} s, in which nobody could chat")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
