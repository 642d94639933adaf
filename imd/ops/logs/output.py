"""Where lines go. Whatever becomes of the disk or of the reader, the server goes on."""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable

#: A reader that took nothing for so long is stuck; until it reads again its lines are lost. Nobody's chat waits
#: longer than this for a terminal or a log collector.
STUCK_S = 0.1
#: A pipe that is ready takes so much without waiting (POSIX: PIPE_BUF is at least 512; Linux has 4096).
_PIECE_BYTES = 4096
#: So often it is said on the standard error that lines are lost, however many are.
COMPLAINT_S = 60.0
_MODE = 0o640


class Output:
    """Appends lines to a file, or writes them to the standard output.

    A line is one ``write``: processes that share a file do not mix theirs. It is not buffered, so that what was
    said before a crash is there. A line that cannot be written is lost and counted, and ``complain`` is told.

    :param path: absolute; "" for the file descriptor ``standard_fd``.
    :param complain: takes a line for the operator, who does not see it in the log.
    :raises OSError: the file cannot be opened.
    """

    def __init__(
        self,
        path: str,
        *,
        standard_fd: int = 1,
        complain: Callable[[str], None],
        seconds: Callable[[], float],
    ) -> None:
        self._standard_fd = standard_fd
        self._complain = complain
        self._seconds = seconds
        self._complained_s: float | None = None
        self._stuck = False
        #: The last line has no end: the disk took a part of it.
        self._torn = False
        #: Lines that were lost, ever, and since the last that was written.
        self.lost = 0
        self.lost_in_a_row = 0
        #: Of the last loss.
        self.problem = ""
        self.path = path
        self._fd = self._opened(path)
        self._may_block = _may_block(self._fd)

    def write(self, line: str) -> bool:
        """Write one line, with the end it has; whether it was. Never raises, and waits for ``STUCK_S`` at most."""
        data = line.encode("utf-8", "backslashreplace")
        try:
            self._put(b"\n" + data if self._torn else data)
        except OSError as error:
            self._is_lost(error.strerror or str(error))
            return False
        self._torn = False
        self.lost_in_a_row = 0
        return True

    def reopen(self, path: str | None = None) -> None:
        """Go on in a new file of the same name, or in another.

        :raises OSError: it cannot be opened; lines go where they went before.
        """
        wanted = self.path if path is None else path
        fd = self._opened(wanted)
        old, was_file = self._fd, bool(self.path)
        self.path, self._fd, self._may_block = wanted, fd, _may_block(fd)
        self._stuck = self._torn = False
        if was_file:
            os.close(old)

    def close(self) -> None:
        """For tests: a process keeps it open to its end."""
        if self.path:
            os.close(self._fd)
        self.path, self._fd = "", self._standard_fd

    def _opened(self, path: str) -> int:
        if not path:
            return self._standard_fd
        # Not blocking, for a named pipe that nobody reads must not hold up the start; files do not care.
        how = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
        return os.open(path, how, _MODE)

    def _put(self, data: bytes) -> None:
        if not self._may_block:
            written = os.write(self._fd, data)
            if written < len(data):
                self._torn = True
                # Tells why.
                os.write(self._fd, data[written:])
            return
        for start in range(0, len(data), _PIECE_BYTES):
            self._wait_for_room()
            os.write(self._fd, data[start : start + _PIECE_BYTES])
            self._torn = True

    def _wait_for_room(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        if not poll.poll(0 if self._stuck else STUCK_S * 1000):
            self._stuck = True
            raise OSError(None, "nobody reads it")
        self._stuck = False

    def _is_lost(self, problem: str) -> None:
        self.lost += 1
        self.lost_in_a_row += 1
        self.problem = problem
        now_s = self._seconds()
        if self._complained_s is None or now_s - self._complained_s >= COMPLAINT_S:
            self._complained_s = now_s
            where = self.path or "the standard output"
            try:
                self._complain(
                    f"imd: the log cannot be written to {where}: {problem}; the server goes on, "
                    f"{self.lost} lines are lost so far\n"
                )
            except (OSError, ValueError):
                """Then there is nobody left to tell; the count stays."""


def _may_block(fd: int) -> bool:
    """Pipes, sockets and terminals wait for their reader."""
    try:
        return not stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError:
        return False
