"""The SSH server around the prompt: few connections at a time, none for longer than somebody types."""

from __future__ import annotations

import os
import socket
import stat
import struct
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from twisted.conch.ssh.connection import SSHConnection
from twisted.conch.ssh.factory import SSHFactory
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.transport import SSHServerTransport
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from imd.config.address import parse_address
from imd.kernel.clocks import Clock
from imd.kernel.errors import StartupError
from imd.kernel.tasks import Tasks
from imd.ops.manhole.door import LOGIN_TIMEOUT_S, Door, Login
from imd.ops.manhole.keys import authorized_keys, fingerprint, host_key
from imd.ops.manhole.session import Operator
from imd.ops.manhole.trail import Record, Trail, quiet

_BACKLOG = 8
#: Connections that have not logged in. The oldest makes room for one more, so that nobody keeps operators out.
MAX_STRANGERS = 8


class ManholeValues(NamedTuple):
    """As in ``imd.config.manhole``; ``path`` or ``address`` is where it listens."""

    path: str
    address: str
    authorized_keys_file: str
    host_key_file: str
    idle_timeout_s: float
    max_sessions: int


class Manhole:
    """A stage that listens.

    :param namespace: makes the names that each session begins with.
    :param greeting: what a terminal shows first.
    :param record: takes what happens to the audit trail.
    :param redact: takes secrets out of it before.
    """

    _log = Logger()

    def __init__(
        self,
        values: ManholeValues,
        *,
        namespace: Callable[[], Mapping[str, object]],
        greeting: str,
        record: Record,
        redact: Callable[[str], str],
        reactor: Any,
    ) -> None:
        self._values = values
        self._reactor = reactor
        self._tasks = Tasks()
        self._factory = _Factory(
            values,
            namespace=namespace,
            greeting=greeting,
            trail=partial(Trail, record, redact=redact),
            clock=reactor,
            tasks=self._tasks,
        )
        self._port: Any = None

    async def start(self) -> None:
        values = self._values
        key = host_key(values.host_key_file)
        try:
            authorized_keys(values.authorized_keys_file)
        except ValueError as error:
            raise StartupError(f"manhole.authorized_keys_file: {error}") from None
        self._factory.use(key)
        try:
            if values.path:
                _remove_left_over(values.path)
                self._port = self._reactor.listenUNIX(
                    values.path, self._factory, backlog=_BACKLOG, mode=0o600
                )
            else:
                host, port = parse_address(values.address)
                self._port = self._reactor.listenTCP(port, self._factory, backlog=_BACKLOG, interface=host)
        except CannotListenError as error:
            raise StartupError(
                f"manhole.listen: cannot listen at {self.where}: {error.socketError}"
            ) from None
        self._log.warn(
            "the manhole is open at {where}, host key {fingerprint}",
            where=self.where,
            fingerprint=fingerprint(key.public()),
        )

    async def stop(self) -> None:
        await self._port.stopListening()
        await self._tasks.stop()
        self._factory.close_all()

    @property
    def where(self) -> str:
        """Where it listens, with the port that the system chose."""
        if self._values.path:
            return self._values.path
        host, port = parse_address(self._values.address)
        return f"{host}:{self._port.getHost().port if self._port is not None else port}"


class _Factory(SSHFactory):
    """Makes connections, as many as there may be."""

    noisy = False

    def __init__(
        self,
        values: ManholeValues,
        *,
        namespace: Callable[[], Mapping[str, object]],
        greeting: str,
        trail: Callable[..., Trail],
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        self.services = {b"ssh-userauth": Login, b"ssh-connection": SSHConnection}
        self.values = values
        self.namespace = namespace
        self.greeting = greeting
        #: Begins one for a connection, from ``peer``.
        self.trail = trail
        self.clock = clock
        self.tasks = tasks
        #: In the order in which they came.
        self.open: dict[_Connection, None] = {}
        # Asked only which ways to log in there are; each connection has its own.
        self.portal = Door(keys_file="", trail=trail(peer=""), is_full=lambda: False, enter=lambda: None)
        self.primes = None

    def use(self, key: Key) -> None:
        """The server's own key."""
        self.publicKeys = {key.sshType(): key.public()}
        self.privateKeys = {key.sshType(): key}

    def buildProtocol(self, addr: IAddress | None) -> Any:
        connection = _Connection(self)
        connection.supportedPublicKeys = [
            name for key in self.privateKeys.values() for name in key.supportedSignatureAlgorithms()
        ]
        return connection

    def close_all(self) -> None:
        """The process ends."""
        for connection in list(self.open):
            connection.end("the server is going down")


class _Connection(SSHServerTransport):
    """One connection; ends when nothing was typed for long, or nobody has logged in."""

    ourVersionString = b"SSH-2.0-imd"
    _log = Logger(observer=quiet)
    transport: Any

    def __init__(self, own: _Factory) -> None:
        self.factory = self._own = own
        # Curves and groups of 2,048 bits and more; there is no file of primes for others.
        self.supportedKeyExchanges = [
            name for name in SSHServerTransport.supportedKeyExchanges if b"group-exchange" not in name
        ]
        self._timer: IDelayedCall | None = None
        self._why = "the connection was closed"

    def connectionMade(self) -> None:
        factory = self._own
        self.trail = factory.trail(peer=_peer(self.transport))
        self.door = Door(
            keys_file=factory.values.authorized_keys_file,
            trail=self.trail,
            is_full=self._is_full,
            enter=self._operator,
        )
        strangers = [each for each in factory.open if not each.trail.operator]
        if len(strangers) >= MAX_STRANGERS:
            strangers[0].end("others came")
        factory.open[self] = None
        self._timer = factory.clock.callLater(LOGIN_TIMEOUT_S, self.end, "nobody logged in")
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        try:
            super().dataReceived(data)
        except Exception as error:
            # The library takes packets apart without looking; a stranger must not fill the log with tracebacks.
            if self.trail.operator:
                self._log.failure("the manhole failed")
            else:
                self.trail.refused("somebody", "what is no SSH", type(error).__name__)
            self.end("it was not understood")

    def connectionLost(self, reason: Failure | None = None) -> None:
        factory = self._own
        factory.open.pop(self, None)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self.trail.operator:
            self.trail.ended(self._why)
        super().connectionLost(reason)

    def end(self, why: str) -> None:
        """Close it."""
        self._why = why
        # sendDisconnect would wait for a peer that does not read.
        self.transport.abortConnection()

    def touched(self) -> None:
        """Somebody is there."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        idle_s = self._own.values.idle_timeout_s
        self._timer = self._own.clock.callLater(idle_s, self.end, f"nothing was typed for {idle_s:g} s")

    def _is_full(self) -> bool:
        sessions = sum(bool(each.trail.operator) for each in self._own.open)
        return sessions >= self._own.values.max_sessions

    def _operator(self) -> Operator:
        factory = self._own
        self.touched()
        return Operator(
            namespace=factory.namespace,
            greeting=factory.greeting,
            trail=self.trail,
            touched=self.touched,
            clock=factory.clock,
            tasks=factory.tasks,
        )


def _peer(transport: Any) -> str:
    """An address and port, or whose process it is at a unix socket."""
    peer = transport.getPeer()
    if getattr(peer, "host", None):
        return f"{peer.host}:{peer.port}"
    try:
        handle: socket.socket = transport.getHandle()
        pid, uid, _ = struct.unpack("3i", handle.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    except (OSError, AttributeError):
        return "a local process"
    return f"process {pid} of user {uid}"


def _remove_left_over(path: str) -> None:
    """The socket of a process that was killed; one that somebody listens at stays, and is told when binding."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            probe.connect(path)
    except ConnectionRefusedError:
        Path(path).unlink()
    except OSError:
        """Not there, or not to be had: binding tells."""
