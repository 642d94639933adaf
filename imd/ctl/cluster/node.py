"""One node: a ``twistd im-core``, ``im-business`` or ``im-admin`` process on loopback."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from imd.ctl.cluster.engine import HOST
from imd.ctl.cluster.process import EngineError, Process

#: twistd finds the plugin through it.
ROOT = Path(__file__).resolve().parents[3]
#: Of a node that serves; it may be busy.
_CALL_TIMEOUT_S = 3.0
#: What a node may take to stop beyond the time that it gives to its clients.
STOP_MARGIN_S = 40.0
#: What the ports are for, in words.
LISTENERS = {"tcp": "native clients", "http": "HTTP", "metrics": "metrics"}


class Node:
    """``ports`` has one for each listener: ``http``, ``metrics``, and ``tcp`` at a core node.

    :param drain_timeout_s: how long it waits for its clients when it is stopped.
    """

    def __init__(
        self, *, name: str, folder: Path, ports: Mapping[str, int], outlives: bool, drain_timeout_s: float
    ) -> None:
        self.name = name
        self.role, _, number = name.partition("-")
        self.number = int(number)
        self.host = HOST
        self.ports = ports
        self.config_file = folder / f"{name}.toml"
        self.process = Process(name=name, folder=folder, outlives=outlives)
        self._stop_timeout_s = drain_timeout_s + STOP_MARGIN_S

    @property
    def http_url(self) -> str:
        """Base of its HTTP addresses."""
        return f"http://{self.host}:{self.ports['http']}"

    @property
    def tcp_url(self) -> str:
        """Where native clients connect; of a core node."""
        return f"tcp://{self.host}:{self.ports['tcp']}"

    @property
    def ws_url(self) -> str:
        """Where WebSocket clients connect; of a core node."""
        return f"ws://{self.host}:{self.ports['http']}/ws"

    @property
    def metrics_url(self) -> str:
        """What Prometheus scrapes."""
        return f"http://{self.host}:{self.ports['metrics']}/metrics"

    @property
    def running(self) -> bool:
        """Whether its process is there (it may be paused)."""
        return self.process.running

    def launch(self) -> None:
        """Start the process, without waiting for it.

        :raises EngineError: one of its ports is in use.
        """
        for what, port in self.ports.items():
            self._require_free(what, port)
        twistd = "from twisted.scripts.twistd import run; run()"
        self.process.start(
            [
                sys.executable,
                "-c",
                twistd,
                "-n",
                "--pidfile=",
                f"im-{self.role}",
                f"--config={self.config_file}",
            ],
            environ={
                # What is meant for one role would stop the others.
                **{name: value for name, value in os.environ.items() if not name.startswith("IM__")},
                "PYTHONPATH": str(ROOT),
                "PYTHONUNBUFFERED": "1",
            },
        )

    def _require_free(self, what: str, port: int) -> None:
        with socket.socket() as probe:
            # As the node itself: connections that linger from before do no harm.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                raise EngineError(
                    f"port {port}, for the {LISTENERS[what]} of {self.name}, is in use by another program; "
                    "stop that, or take other ports: tools/cluster down --wipe, "
                    f"then tools/cluster up --base-port {port // 1000 * 1000 + 1700}"
                ) from None

    def wait_ready(self) -> None:
        """Return when it takes traffic.

        :raises EngineError: it ended, or is not ready in time; it is left as it is.
        """
        try:
            self.process.wait_until(lambda: not self.missing())
        except EngineError as error:
            missing = self.missing() if self.running else ""
            raise EngineError(f"{missing}: {error}" if missing else str(error)) from None

    def start(self) -> None:
        """``launch`` and ``wait_ready``."""
        self.launch()
        self.wait_ready()

    def missing(self) -> str:
        """What it lacks to take traffic; empty: nothing."""
        try:
            with urllib.request.urlopen(f"{self.http_url}/readyz", timeout=_CALL_TIMEOUT_S):  # noqa: S310 - http
                return ""
        except urllib.error.HTTPError as error:
            with error:
                return _reasons(error.code, error.read(4096))
        except OSError:
            return "no answer"

    def stop(self) -> bool:
        """Let it drain and end; kill it if it does not. Whether it ended by itself."""
        return self.process.stop(timeout_s=self._stop_timeout_s)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()

    def pause(self) -> None:
        """SIGSTOP."""
        self.process.pause()

    def resume(self) -> None:
        """SIGCONT after ``pause``."""
        self.process.resume()


def _reasons(code: int, body: bytes) -> str:
    try:
        missing = json.loads(body)["missing"]
        return ", ".join(f"{what} {state}" for what, state in missing.items()) or "not ready"
    except (ValueError, KeyError, AttributeError):
        return f"answers {code}"
