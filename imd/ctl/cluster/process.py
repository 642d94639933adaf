"""One server process: started, watched, stopped; known again by a later run of the same program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

#: A server that has not answered by then is broken; generous, since tests run on few and busy cores.
START_TIMEOUT_S = 60.0
#: From SIGTERM to SIGKILL.
STOP_TIMEOUT_S = 20.0
#: How much of a log goes into an error.
TAIL_BYTES = 3000
_POLL_S = 0.02

#: Asks the kernel for a SIGKILL when whoever started us dies (PR_SET_PDEATHSIG, Linux), then becomes
#: the server. Not a preexec_fn: that one may hang in a process with threads.
_BOUND = """\
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
    if os.getppid() != int(sys.argv[1]):
        os._exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class EngineError(Exception):
    """A server cannot be started, or does not do what it is asked; says what to do."""


class Process:
    """At most one process at a time, with ``<name>.log`` and ``<name>.pid`` in a folder.

    :param outlives: it goes on when this program ends; otherwise it dies with it, however that dies.
    """

    def __init__(self, *, name: str, folder: Path, outlives: bool) -> None:
        self.name = name
        self.log_file = folder / f"{name}.log"
        self._pid_file = folder / f"{name}.pid"
        self._outlives = outlives
        #: Where in its log the last start of ours begins.
        self._log_start = 0

    @property
    def pid(self) -> int:
        """Of the running process; 0 if there is none."""
        try:
            pid, born = self._pid_file.read_text().split()
        except (OSError, ValueError):
            return 0
        return int(pid) if _born(int(pid)) == born else 0

    @property
    def running(self) -> bool:
        """Whether it is there (it may be paused)."""
        return self.pid != 0

    def start(self, command: Sequence[str], *, environ: Mapping[str, str] | None = None) -> None:
        """Start it; ``command[0]`` is the path of the program, ``environ`` replaces ours.

        :raises EngineError: it runs already.
        """
        if self.running:
            raise EngineError(f"{self.name} runs already, as process {self.pid}")
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        if not self._outlives:
            command = [sys.executable, "-I", "-S", "-c", _BOUND, str(os.getpid()), *command]
        started: list[subprocess.Popen[bytes] | OSError] = []
        handed_over = threading.Event()

        def keep() -> None:
            # The kernel counts the thread as the parent: this one lives as long as the process, while
            # a thread of a pool, from which tests start servers, ends with its pool.
            try:
                started.append(self._popen(command, environ))
            except OSError as error:
                started.append(error)
                return
            finally:
                handed_over.set()
            started[0].wait()  # type: ignore[union-attr]

        threading.Thread(target=keep, name=f"keeper of {self.name}", daemon=True).start()
        handed_over.wait()
        process = started[0]
        if isinstance(process, OSError):
            raise EngineError(f"{self.name} cannot be started: {process}")
        self._pid_file.write_text(f"{process.pid} {_born(process.pid)}\n")

    def _popen(self, command: Sequence[str], environ: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
        with self.log_file.open("ab") as log:
            self._log_start = log.tell()
            return subprocess.Popen(
                command,
                cwd=self.log_file.parent,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C in the terminal is for whoever started it.
                start_new_session=True,
            )

    def wait_until(self, ready: Callable[[], bool], *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return as soon as ``ready`` says so; what it raises as OSError means "not yet".

        :raises EngineError: the process ended, or it took too long and is still there.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            with suppress(OSError):
                if ready():
                    return
            if not self.running:
                raise EngineError(f"{self.name} ended right after its start; {self.tail()}")
            if time.monotonic() > deadline_s:
                raise EngineError(f"{self.name} is not ready after {timeout_s:g} s; {self.tail()}")
            time.sleep(_POLL_S)

    def terminate(self) -> None:
        """SIGTERM, without waiting for what comes of it."""
        self._send(signal.SIGTERM)
        # A paused one hears it only when it goes on.
        self._send(signal.SIGCONT)

    def stop(self, *, timeout_s: float = STOP_TIMEOUT_S) -> bool:
        """SIGTERM, and SIGKILL to one that does not mind it in time; whether it ended by itself."""
        if self._ended_by(signal.SIGTERM, timeout_s):
            return True
        self.kill()
        return False

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nobody is told.

        :raises EngineError: it is still there (another user's, or stuck in the kernel).
        """
        if not self._ended_by(signal.SIGKILL, STOP_TIMEOUT_S):
            raise EngineError(f"{self.name}, process {self.pid}, does not die")

    def _ended_by(self, number: signal.Signals, timeout_s: float) -> bool:
        pid = self.pid
        if pid:
            self._send(number)
            self._send(signal.SIGCONT)
            born, deadline_s = _born(pid), time.monotonic() + timeout_s
            while born and _born(pid) == born:
                if time.monotonic() > deadline_s:
                    return False
                time.sleep(_POLL_S)
        self._pid_file.unlink(missing_ok=True)
        return True

    def pause(self) -> None:
        """SIGSTOP: it is there, its connections too, and it does nothing."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after ``pause``."""
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        pid = self.pid
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def tail(self) -> str:
        """The end of its log, to be put into an error."""
        try:
            text = (
                self.log_file.read_bytes()[self._log_start :][-TAIL_BYTES:].decode(errors="replace").strip()
            )
        except OSError:
            text = ""
        return f"its log, {self.log_file}, ends with:\n{text}" if text else f"nothing in {self.log_file}"


def _born(pid: int) -> str:
    """When the process was started, in the kernel's own unit: with the pid, who it is; "" if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        if Path("/proc/self/stat").exists():
            return ""
        try:
            os.kill(pid, 0)
        except OSError:
            return ""
        return "unknown"
    # Fields from the third on; the second, the name in parentheses, may hold anything.
    state, *fields = stat.rpartition(")")[2].split()
    # While some of its threads are still dying, so are its sockets: a port is free after the last.
    threads = int(fields[16])
    return "" if state in "ZX" and threads <= 1 else fields[18]
