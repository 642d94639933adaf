"""A real ``twistd im`` process on loopback ports of its own, in a folder of its own.

Plain Python::

    with LiveServer() as server:
        server.kill()
        server.start()

In a trial test, without holding up the reactor::

    server = await running_server(self, settings={"limits": {"user_text_per_min": 0}})
    await deferToThread(server.restart)
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.live.certificate import write_certificate

#: Section -> key -> value, as in the configuration file; the section "" holds the top-level keys.
Settings = Mapping[str, Mapping[str, object]]

#: What a test needs that is about something else than rates.
NO_LIMITS: Settings = {
    "limits": {
        "user_text_per_min": 0,
        "user_media_per_min": 0,
        "conversation_per_s": 0,
        "device_frames_per_s": 0,
        "ip_frames_per_s": 0,
        "ip_connects_per_s": 0,
        "logins_per_min": 0,
        "registrations_per_hour_per_ip": 0,
    }
}

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
_POLL_S = 0.05
_TWISTD = "from twisted.scripts.twistd import run; run()"


class ServerDied(Exception):
    """The process ended, or did not get ready in time; the message holds the end of its log."""


class LiveServer:
    """One server. Ports, folder and data stay the same through ``kill``, ``stop`` and ``start``.

    :param settings: laid over the few keys that the fixture itself needs.
    :param tls: also listen with TLS, on ``tls_port`` and ``https_port``, with ``certificate_file``.
    :param source: the checkout that runs.
    :param through: a command that ends by becoming the one behind it; ``{folder}`` is the server's.
    """

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        tls: bool = False,
        source: Path = ROOT,
        through: Sequence[str] = (),
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="imd-live-"))
        self.tcp_port, self.http_port, self.tls_port, self.https_port, self.metrics_port = _free_ports(5)
        self.certificate_file = self.folder / "certificate.pem"
        self.log_file = self.folder / "server.log"
        self._config_file = self.folder / "im.toml"
        self._config_file.write_text(_toml(self._settings(settings or {}, tls)))
        self._source = source
        self._through = [word.replace("{folder}", str(self.folder)) for word in through]
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)

    def _settings(self, wanted: Settings, tls: bool) -> Settings:
        sections: dict[str, dict[str, object]] = {
            "": {"data_dir": str(self.folder / "data")},
            "listen": {
                "tcp": f"127.0.0.1:{self.tcp_port}",
                "http": f"127.0.0.1:{self.http_port}",
            },
            "metrics": {"listen": f"127.0.0.1:{self.metrics_port}"},
        }
        if tls:
            key_file = self.folder / "key.pem"
            write_certificate(self.certificate_file, key_file)
            sections["listen"]["tls"] = f"127.0.0.1:{self.tls_port}"
            sections["listen"]["https"] = f"127.0.0.1:{self.https_port}"
            sections["tls"] = {
                "certificate_file": str(self.certificate_file),
                "private_key_file": str(key_file),
            }
        for name, keys in wanted.items():
            sections.setdefault(name, {}).update(keys)
        return sections

    @property
    def http_url(self) -> str:
        """Base of the REST addresses."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def metrics_url(self) -> str:
        """What Prometheus scrapes."""
        return f"http://127.0.0.1:{self.metrics_port}/metrics"

    @property
    def ws_url(self) -> str:
        """Where WebSocket clients connect."""
        return f"ws://127.0.0.1:{self.http_port}/ws"

    @property
    def config_file(self) -> Path:
        """What the server is started with."""
        return self._config_file

    @property
    def data_dir(self) -> Path:
        """Databases and secrets of this server."""
        return self.folder / "data"

    @property
    def running(self) -> bool:
        """Whether it was started, and did not end by itself."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the running process."""
        if self._process is None:
            raise ServerDied("the server is not running")
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything the server has said so far, over all starts."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def start(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start and wait until it serves.

        :raises ServerDied: it does not.
        """
        if self._process is not None:
            raise RuntimeError("the server runs already")
        arguments = ["--nodaemon", "--pidfile=", "im", f"--config={self._config_file}"]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._through, sys.executable, "-c", _TWISTD, *arguments],
                cwd=self.folder,
                env=os.environ | {"PYTHONPATH": str(self._source), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline_s = time.monotonic() + timeout_s
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                state = (
                    f"ended with {self._process.poll()}"
                    if self._process.poll() is not None
                    else "is not ready"
                )
                self.kill()
                raise ServerDied(f"the server {state}; its log ends with:\n{self.log[-4000:]}")
            time.sleep(_POLL_S)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.http_url}/readyz", timeout=2) as answer:
                return int(answer.status) == 200
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """``kill -9``: nothing is flushed, nobody is told."""
        self._signal(signal.SIGKILL, timeout_s=STOP_TIMEOUT_S)

    def stop(self, *, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Ask it to end, and kill it if it does not."""
        try:
            self._signal(signal.SIGTERM, timeout_s=timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def _signal(self, number: signal.Signals, *, timeout_s: float) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(number)
        process.wait(timeout_s)
        self._process = None

    def pause(self) -> None:
        """SIGSTOP: the process is there and does nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after ``pause``."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """``kill -9`` and start again on the same data and ports."""
        self.kill()
        self.start(timeout_s=timeout_s)

    def close(self) -> None:
        """End the process and remove the folder; may be called again."""
        atexit.unregister(self.close)
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


async def running_server(
    test: TestCase, *, settings: Settings | None = None, tls: bool = False
) -> LiveServer:
    """A started server that ends with the test."""
    server = LiveServer(settings=settings, tls=tls)
    test.addCleanup(deferToThread, server.close)
    await deferToThread(server.start)
    return server


def _free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on; held together, so that they differ."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _toml(sections: Settings) -> str:
    """The configuration file; JSON's scalars and lists are TOML's."""
    lines: list[str] = []
    for name in sorted(sections):
        if name:
            lines.append(f"\n[{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in sections[name].items()]
    return "\n".join(lines) + "\n"
