"""One connection to one NATS server: where asyncio, on which nats-py runs, meets the rest.

nats-py dials, does TLS and authentication, parses what comes and pings. Three things it does otherwise
than a bus of some thousand messages a second needs, and this file overrides them (names of nats-py 2.16,
hence the upper bound in setup.cfg):

* It reconnects by itself after a fixed wait, gives up for good after most ``-ERR``, and can lose an error
  on the way. Here any loss ends the link, once, and whoever owns it makes another.
* Each message goes through a queue and a task, each command through four coroutines and a future. Here
  a message is handed over by a call, and what is sent within one turn of the loop is one write.
* While the server does not read, its buffer grows and ``publish`` waits. Here sending is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import Context
from pathlib import Path
from ssl import SSLContext, create_default_context
from typing import Any, NamedTuple

from nats import errors
from nats.aio.client import Client, Srv
from nats.aio.transport import TcpTransport
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from imd.bus.port import BusRefused

#: From the call until the server has let us in.
CONNECT_TIMEOUT_S = 5.0
#: A half-open connection is noticed after three of these without an answer.
PING_INTERVAL_S = 5
MAX_OUTSTANDING_PINGS = 2
#: A server that is asked whether it has seen all up to here.
ROUND_TRIP_TIMEOUT_S = 10
#: Spec 24.1, for what waits while the server does not read; then sending is refused.
MAX_QUEUED_MESSAGES = 1_000
MAX_QUEUED_BYTES = 1024 * 1024
#: What the socket's own buffer may hold before more waits here; and how much is written without
#: waiting for the end of the turn.
_WRITE_AT_ONCE_BYTES = 64 * 1024
#: What writing to a socket raises when the other side has hung up: uvloop knows it before it tells nats-py's reader, and
#: says then that "the handler is closed".
_GONE = (OSError, RuntimeError)

#: (subject, reply, payload, header block or None) of a message; must not raise.
Take = Callable[[bytes, bytes, bytes, bytes | None], None]


class Interest(NamedTuple):
    """A subscription: what the server is told, and who takes what comes."""

    subject: str
    queue: str
    take: Take


class Login(NamedTuple):
    """Who we are to the server."""

    name: str
    user: str
    password: str
    tls: SSLContext | None

    def __repr__(self) -> str:
        return f"Login({self.name!r}, {self.user!r})"


def client_tls(
    *, ca_file: Path, certificate_file: Path | None = None, key_file: Path | None = None
) -> SSLContext:
    """Trust this authority only; show this certificate if the server asks for one."""
    context = create_default_context(cafile=str(ca_file))
    if certificate_file is not None:
        context.load_cert_chain(str(certificate_file), None if key_file is None else str(key_file))
    return context


class _Wire(TcpTransport):
    """nats-py's transport, and what it keeps to itself: how much waits, and how to end at once."""

    def __bool__(self) -> bool:
        # So that nats-py takes this one instead of making its own.
        return True

    def limit(self) -> None:
        self._transport().set_write_buffer_limits(high=_WRITE_AT_ONCE_BYTES)

    def waiting_bytes(self) -> int:
        try:
            return self._transport().get_write_buffer_size()
        except RuntimeError:
            # See _GONE; nothing waits there.
            return 0

    def abort(self) -> None:
        if self._io_writer is not None:
            self._transport().abort()

    def _transport(self) -> asyncio.WriteTransport:
        assert self._io_writer is not None
        return self._io_writer.transport


class Link(Client):
    """Open once, lost once. ``on_lost`` is called with the reason, after ``open`` has returned only.

    ``interests`` is shared with the owner, who keeps it over links.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        interests: Mapping[int, Interest],
        on_lost: Callable[[Link, Exception], None],
        on_refused: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._loop = loop
        self._interests = interests
        self._on_lost = on_lost
        self._on_refused = on_refused
        self._wire = _Wire()  # type: ignore[no-untyped-call]
        self._transport = self._wire
        self._outbox: list[bytes] = []
        self._outbox_bytes = 0
        self._scheduled = False
        self._blocked = False
        self._opened = False

    # For the owner, who knows Deferreds only

    def open(self, url: str, login: Login) -> Deferred[None]:
        """Dial, be let in. Fails with what nats-py or the socket said."""
        return self._deferred(self._open(url, login))

    def settle(self) -> Deferred[None]:
        """Fires when the server has taken all that was sent before; a server that does not is left."""
        return self._deferred(self._settle())

    def end(self) -> None:
        """Write what waits, as far as the socket takes it, and hang up; ``on_lost`` is not called."""
        self._write_out()
        self._opened = False
        self._hang_up()
        self._wire.close()  # type: ignore[no-untyped-call]

    @property
    def queued(self) -> tuple[int, int]:
        """Messages and bytes that the server has not taken yet."""
        if not self.is_connected:
            return len(self._outbox), self._outbox_bytes
        return len(self._outbox), self._outbox_bytes + self._wire.waiting_bytes()

    @property
    def server_version(self) -> str:
        return str(self._server_info.get("version", ""))

    def send(self, frame: bytes) -> None:
        """Have it written before this turn ends, or raise BusRefused."""
        if self._blocked and (
            len(self._outbox) >= MAX_QUEUED_MESSAGES
            or self._outbox_bytes + self._wire.waiting_bytes() + len(frame) > MAX_QUEUED_BYTES
        ):
            raise BusRefused("the bus does not take messages as fast as they come")
        self.command(frame)

    def command(self, frame: bytes) -> None:
        """As ``send``, for the few frames that must not be refused."""
        self._outbox.append(frame)
        self._outbox_bytes += len(frame)
        if self._outbox_bytes > _WRITE_AT_ONCE_BYTES:
            self._write_out()
        elif not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._end_turn)

    def lose(self, error: Exception) -> None:
        """The connection is of no use any more."""
        if not self._opened:
            return
        self._opened = False
        self._hang_up()
        self._wire.abort()
        self._on_lost(self, error)

    # Inside

    def _deferred(self, work: Any) -> Deferred[None]:
        # Tasks that nats-py starts from here inherit nobody's context.
        return Deferred.fromFuture(self._loop.create_task(work, context=Context()))

    async def _open(self, url: str, login: Login) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._dial(url, login)
        except BaseException:
            self._hang_up()
            self._wire.abort()
            raise
        self._wire.limit()
        self._opened = True
        assert self._reading_task is not None
        # nats-py's reader ends without a word when a future of its own was cancelled at a bad time.
        self._reading_task.add_done_callback(lambda _: self.lose(errors.UnexpectedEOF()))

    async def _dial(self, url: str, login: Login) -> None:
        await self.connect(
            servers=[url],
            error_cb=_ignore,
            allow_reconnect=False,
            connect_timeout=int(CONNECT_TIMEOUT_S),
            ping_interval=PING_INTERVAL_S,
            max_outstanding_pings=MAX_OUTSTANDING_PINGS,
            name=login.name,
            user=login.user,
            password=login.password,
            tls=login.tls,
        )
        if not self.is_connected:
            # nats-py takes an end of file in place of the PONG for success.
            raise errors.UnexpectedEOF

    async def _settle(self) -> None:
        try:
            while self._outbox:
                self._write_out()
                await self._wire.drain()  # type: ignore[no-untyped-call]
            await self.flush(timeout=ROUND_TRIP_TIMEOUT_S)
        except (*_GONE, errors.Error) as error:
            self.lose(error)

    def _end_turn(self) -> None:
        self._scheduled = False
        self._write_out()

    def _write_out(self) -> None:
        if not self._outbox or self._blocked or not self._opened:
            return
        outbox, self._outbox, self._outbox_bytes = self._outbox, [], 0
        try:
            self._wire.write(b"".join(outbox))  # type: ignore[no-untyped-call]
        except _GONE as error:
            # Whoever sends must not hear of it as a mistake of ours.
            self.lose(error)
            return
        if self._wire.waiting_bytes() > _WRITE_AT_ONCE_BYTES:
            self._blocked = True
            self._loop.create_task(self._unblock(), context=Context())

    async def _unblock(self) -> None:
        try:
            await self._wire.drain()  # type: ignore[no-untyped-call]
        except _GONE as error:
            self.lose(error)
        self._blocked = False
        self._write_out()

    def _hang_up(self) -> None:
        self._status = Client.CLOSED
        for task in (self._reading_task, self._ping_interval_task, self._flusher_task):
            if task is not None:
                task.cancel()

    # What nats-py calls

    async def _select_next_server(self) -> None:
        # One address and one try; the owner knows which comes next, and when.
        server: Srv = self._server_pool[0]
        await self._connect_to_server(server)
        self._current_server = server

    def _connect_command(self) -> bytes:
        # Called before the password goes out.
        if self.options.get("tls") is not None and not self._server_info.get("tls_required"):
            raise errors.SecureConnWantedError
        return super()._connect_command()

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        interest = self._interests.get(sid)
        if interest is None:
            return
        try:
            interest.take(subject, reply, data, headers)
        except Exception:
            # It would end nats-py's reader.
            self._log.failure("what came on {subject} could not be handed over", subject=subject)

    async def _process_op_err(self, error: Exception) -> None:
        self.lose(error)

    async def _process_err(self, message: str) -> None:
        if "permissions violation" in message:
            self._on_refused(message)
        else:
            self.lose(errors.Error(f"the server says {message}"))


async def _ignore(_: Exception) -> None:
    """Whatever nats-py reports here it also raises, or tells ``_process_op_err``."""
