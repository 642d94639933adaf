"""Where dialogues are played: one server, or anything else that clients can talk to, and its town."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, Self

from imd.business.accounts.secrets import load_or_make, private_folder
from imd.business.schema import open_business
from imd.client.transport import Dial
from tests.dialogue.town import Town
from tests.dialogue.wire import Transport
from tests.live.server import LiveServer, Settings

INHABITANTS = 800


class Face(NamedTuple):
    """Where clients connect."""

    tcp_port: int
    ws_url: str
    tls_port: int = 0
    certificate_file: Path = Path()


class House(Protocol):
    """Blocking calls, for a thread; what is killed or stopped starts again on the same data and ports."""

    town: Town

    @property
    def http_url(self) -> str:
        """Base of the REST addresses."""
        ...

    @property
    def operator_token(self) -> str:
        """What opens the operators' part of REST."""
        ...

    @property
    def log(self) -> str:
        """All that its processes have said."""
        ...

    @property
    def running(self) -> bool: ...

    def dial(self, transport: Transport, reactor: Any) -> Dial:
        """The way to it for one more device."""
        ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def kill(self) -> None:
        """``kill -9`` to all that clients notice."""
        ...


class ServerHouse:
    """One ``twistd im``."""

    _open: ClassVar[dict[str, Self]] = {}

    def __init__(self, settings: Settings) -> None:
        server = self.server = LiveServer(settings=settings, tls=True)
        secret = load_or_make(private_folder(private_folder(server.data_dir) / "secrets") / "token.key")
        self.town = Town(
            engine=open_business(server.data_dir / "business.db"), secret=secret, inhabitants=INHABITANTS
        )
        self._face = Face(server.tcp_port, server.ws_url, server.tls_port, server.certificate_file)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The one with these settings, shared by all dialogues and ended with the process."""
        key = repr(settings)
        if key not in cls._open:
            cls._open[key] = cls(settings)
        return cls._open[key]

    @property
    def http_url(self) -> str:
        return self.server.http_url

    @property
    def operator_token(self) -> str:
        return (self.server.data_dir / "secrets" / "operator.token").read_text().strip()

    @property
    def log(self) -> str:
        return self.server.log

    @property
    def running(self) -> bool:
        return self.server.running

    def dial(self, transport: Transport, reactor: Any) -> Dial:
        return transport.dial(self._face, reactor)

    def start(self) -> None:
        self.server.start()

    def stop(self) -> None:
        self.server.stop()

    def kill(self) -> None:
        self.server.kill()
