"""A server of the bench's own in a temporary folder, and what /proc tells about it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import imd
from imd.kernel.errors import StartupError

_START_S: Final = 30.0
_STOP_S: Final = 10.0
_LOG_TAIL: Final = 3000
#: In /proc/<pid>/stat after the command's closing bracket: utime and stime.
_UTIME: Final = 11

_TWISTD: Final = "from twisted.scripts.twistd import run; run()"
_LIMITS: Final = (
    "user_text_per_min",
    "user_media_per_min",
    "conversation_per_s",
    "device_frames_per_s",
    "ip_frames_per_s",
    "ip_connects_per_s",
    "logins_per_min",
    "registrations_per_hour_per_ip",
)


def configuration(
    *,
    data_dir: Path,
    tcp: int,
    http: int,
    metrics: int,
    connections: int,
    settings: Sequence[tuple[str, str]],
) -> str:
    """TOML for a server without rate limits; ``settings`` are ("section.key", TOML value) on top."""
    values = {
        "data_dir": f'"{data_dir}"',
        "listen.tcp": f'"127.0.0.1:{tcp}"',
        "listen.http": f'"127.0.0.1:{http}"',
        "metrics.listen": f'"127.0.0.1:{metrics}"',
        "gateway.max_connections": str(max(1000, connections * 2)),
        "gateway.max_unauthenticated_share": "0.5",
        "gateway.drain_timeout_s": "1.0",
        **{f"limits.{name}": "0.0" for name in _LIMITS},
        **dict(settings),
    }
    return "".join(f"{name} = {value}\n" for name, value in values.items())


class ProcessMeter:
    """CPU and memory of a process, all its threads included."""

    def __init__(self, pid: int) -> None:
        self._stat = Path(f"/proc/{pid}/stat")
        self._statm = Path(f"/proc/{pid}/statm")
        self._tick_s = 1 / os.sysconf("SC_CLK_TCK")
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")

    def cpu_s(self) -> float:
        """User and system time since the process began; 0 when it is gone."""
        try:
            fields = self._stat.read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[_UTIME]) + int(fields[_UTIME + 1])) * self._tick_s

    def rss_bytes(self) -> int:
        """Resident memory now; 0 when the process is gone."""
        try:
            return int(self._statm.read_text().split()[1]) * self._page_bytes
        except OSError:
            return 0


def environment() -> dict[str, str]:
    """For subprocesses: this checkout first."""
    root = str(Path(imd.__file__).parents[1])
    path = os.environ.get("PYTHONPATH")
    return dict(os.environ, PYTHONPATH=f"{root}{os.pathsep}{path}" if path else root)


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class OwnServer:
    """``twistd im`` on free ports, its limits switched off, everything durable as always."""

    def __init__(self, *, connections: int, settings: Sequence[tuple[str, str]] = ()) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="imd-bench-"))
        self.config_file = self._folder / "imd.toml"
        self._log = self._folder / "log"
        tcp, http, metrics = _free_ports(3)
        self.address = ("127.0.0.1", tcp)
        self.config_file.write_text(
            configuration(
                data_dir=self._folder / "data",
                tcp=tcp,
                http=http,
                metrics=metrics,
                connections=connections,
                settings=settings,
            )
        )
        self._process: subprocess.Popen[bytes] | None = None
        #: CPU of processes that were killed.
        self._spent_s = 0.0

    def start(self) -> None:
        """Returns when it accepts connections.

        :raises StartupError: it ended, or does not listen in time; with the end of its log.
        """
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and script
                [
                    sys.executable,
                    "-c",
                    _TWISTD,
                    "--nodaemon",
                    "--pidfile=",
                    "im",
                    f"--config={self.config_file}",
                ],
                cwd=self._folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline_s = time.monotonic() + _START_S
        while time.monotonic() < deadline_s:
            if self._process.poll() is not None:
                raise StartupError(f"the server ended at once:\n{self.log_tail()}")
            try:
                socket.create_connection(self.address, timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise StartupError(f"the server does not listen after {_START_S:.0f} s:\n{self.log_tail()}")

    def require_alive(self) -> None:
        """:raises StartupError: it ended by itself."""
        if self._process is not None and (code := self._process.poll()) is not None:
            raise StartupError(f"the server ended under load, with code {code}")

    def log_tail(self) -> str:
        try:
            return self._log.read_text(errors="replace")[-_LOG_TAIL:]
        except OSError:
            return ""

    def cpu_s(self) -> float:
        alive = ProcessMeter(self._process.pid).cpu_s() if self._process else 0.0
        return self._spent_s + alive

    def rss_bytes(self) -> int:
        return ProcessMeter(self._process.pid).rss_bytes() if self._process else 0

    def kill(self) -> None:
        """Kill -9: no goodbye, nothing flushed."""
        if self._process is not None:
            self._spent_s = self.cpu_s()
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Stop it and remove its folder."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
