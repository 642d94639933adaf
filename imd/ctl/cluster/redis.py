"""redis-server without persistence: what is in it may be lost at any time."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import ClassVar

from imd.ctl.cluster.engine import Engine, write_secret

_CALL_TIMEOUT_S = 2.0


class RedisServer(Engine):
    """Asks for ``password`` (of the user ``default``)."""

    name: ClassVar[str] = "redis"
    install: ClassVar[str] = "apt-get install redis-server, or put redis-server 6 or newer on the PATH"

    def __init__(self, *, folder: Path, port: int = 0, outlives: bool = False) -> None:
        super().__init__(folder=folder, port=port, outlives=outlives)
        self.user = "default"
        self.password = self._secret("password")

    @property
    def program(self) -> str:
        return self._program("redis-server")

    def _data(self) -> list[Path]:
        # It keeps nothing on the disk: with the process goes the data.
        return []

    def _start(self) -> None:
        config = self.folder / "redis.conf"
        write_secret(config, self._config())
        self._process.start([self.program, str(config)])
        self._process.wait_until(self._answers)

    def _config(self) -> str:
        # noeviction: a full Redis refuses writes, which we notice, and forgets no lease, which we would not.
        return f"""\
bind {self.host}
port {self.port}
dir "{self.folder}"
requirepass {self.password}
save ""
appendonly no
maxmemory 256mb
maxmemory-policy noeviction
daemonize no
"""

    def _answers(self) -> bool:
        with socket.create_connection((self.host, self.port), _CALL_TIMEOUT_S) as connection:
            connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
            with connection.makefile("rb") as answers:
                return answers.readline() == b"+OK\r\n" and answers.readline() == b"+PONG\r\n"
