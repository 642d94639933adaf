"""What an operator who is in may have over SSH: a prompt at a terminal, or one line. No files, no forwarding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from twisted.conch.avatar import ConchUser
from twisted.conch.insults.insults import ServerProtocol
from twisted.conch.interfaces import ISession
from twisted.conch.manhole_ssh import TerminalSessionTransport
from twisted.conch.ssh.session import SSHSession
from twisted.logger import Logger
from zope.interface import implementer

from imd.kernel.clocks import Clock
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import TimeoutError, with_timeout
from imd.ops.manhole.prompt import MAX_LINE_CHARS, OneLine, Prompt
from imd.ops.manhole.trail import Trail, quiet

#: A line given to ssh itself, with whatever it waits for.
LINE_TIMEOUT_S = 60.0
_NO_TERMINAL = "a prompt needs a terminal: ssh -t; or give ssh one line, such as 'sessions()'\n"


class Operator(ConchUser):
    """Somebody who is in.

    :param namespace: makes the names that a session begins with.
    :param touched: told whenever something is typed.
    """

    def __init__(
        self,
        *,
        namespace: Callable[[], Mapping[str, object]],
        greeting: str,
        trail: Trail,
        touched: Callable[[], None],
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        super().__init__()
        self.channelLookup[b"session"] = _Channel
        self.namespace = namespace
        self.greeting = greeting
        self.trail = trail
        self.touched = touched
        self.clock = clock
        self.tasks = tasks


class _Channel(SSHSession):
    """Makes its own session: Twisted would look for an adapter."""

    _log = Logger(observer=quiet)

    @property
    def _session(self) -> Any:
        if self.session is None:
            self.session = _Session(self.avatar)
        return self.session


class _Terminal(ServerProtocol):
    """Leaves on the screen what is there, and with an exit code of 0."""

    transport: Any
    #: The channel's end.
    leave: Callable[[], None]

    def loseConnection(self) -> None:
        self.leave()


@implementer(ISession)
class _Session:
    """One channel of a connection."""

    def __init__(self, operator: Any) -> None:
        self._operator: Operator = operator
        self._size: tuple[int, int] | None = None
        self._terminal: Any = None

    def getPty(self, term: bytes, windowSize: tuple[int, ...], modes: object) -> None:
        self._size = (windowSize[1], windowSize[0])

    def openShell(self, proto: Any) -> None:
        operator = self._operator
        if self._size is None:
            self._end(proto, _NO_TERMINAL, 1)
            return
        self._terminal = _Terminal(
            Prompt,
            operator.namespace(),
            greeting=operator.greeting,
            typed=operator.trail.typed,
            touched=operator.touched,
        )
        self._terminal.leave = partial(self._end, proto, "", 0)
        TerminalSessionTransport(proto, self._terminal, operator, *self._size)

    def execCommand(self, proto: Any, cmd: bytes) -> None:
        self._operator.tasks.spawn("a line of an operator", self._run(proto, cmd.decode("utf-8", "replace")))

    async def _run(self, proto: Any, line: str) -> None:
        operator = self._operator
        operator.touched()
        if len(line) > MAX_LINE_CHARS:
            operator.trail.too_long(line, MAX_LINE_CHARS)
            self._end(proto, f"a line has {MAX_LINE_CHARS} characters at most\n", 1)
            return
        operator.trail.typed(line)
        run = OneLine(operator.namespace()).run(line)
        try:
            text, well = await with_timeout(run, timeout_s=LINE_TIMEOUT_S, clock=operator.clock)
        except TimeoutError:
            text, well = f"nothing came of it within {LINE_TIMEOUT_S:g} s\n", False
        self._end(proto, text, 0 if well else 1)

    def _end(self, proto: Any, text: str, code: int) -> None:
        channel = proto.session
        if channel.localClosed:
            return
        if text:
            channel.write(text.replace("\n", "\r\n" if self._size else "\n").encode())
        channel.conn.sendRequest(channel, b"exit-status", code.to_bytes(4, "big"))
        channel.loseConnection()

    def windowChanged(self, newWindowSize: tuple[int, ...]) -> None:
        if self._terminal is not None and self._terminal.terminalProtocol is not None:
            self._terminal.terminalProtocol.terminalSize(newWindowSize[1], newWindowSize[0])

    def eofReceived(self) -> None:
        if self._terminal is not None:
            self._terminal.loseConnection()

    def closed(self) -> None:
        self._terminal = None
