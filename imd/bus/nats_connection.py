"""The connection to NATS that is kept for ever: one link after the other, the same subscriptions on each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from ssl import SSLCertVerificationError

from nats import errors
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.bus.matching import check_subject
from imd.bus.nats_backoff import Backoff
from imd.bus.nats_link import Interest, Link, Login, Take
from imd.bus.nats_replies import NotPermitted, Replies
from imd.bus.port import BusFailure, BusRefused
from imd.kernel.clocks import Clock
from imd.kernel.errors import StartupError
from imd.kernel.timeouts import TimeoutError, sleep, with_timeout

#: 2025-30215, 2026-27571, 2026-27889 and the route bypass of secnote-2026-16 are open in older ones.
MIN_SERVER_VERSION = (2, 14, 0)
#: While no server can be reached, the log says so this often; while we are refused something as well.
LOG_INTERVAL_S = 60.0
#: Subjects that were checked and encoded; 256 shards and a handful for each of 1,024 nodes.
MAX_KNOWN_SUBJECTS = 8_192
_WAIT_FOR_LAST_WRITES_S = 2.0


class Counts:
    """Since the start; what ``NatsBus.counts`` shows."""

    def __init__(self) -> None:
        self.sent = 0
        self.sent_bytes = 0
        self.received = 0
        self.received_bytes = 0
        self.reconnects = 0
        self.refused = 0


class NatsConnection:
    """Publish, ask and listen while connected; refuse while not.

    What was sent in the last moments before a link is lost may never arrive; requests in flight then
    end in BusFailure.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        servers: Sequence[str],
        login: Login,
        clock: Clock,
        random: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
        on_up: Callable[[bool], None],
    ) -> None:
        """:param on_up: called on every new link when the server knows our subscriptions; true on the first."""
        if not servers:
            raise ValueError("no NATS server is named")
        self._servers = servers
        self._login = login
        self._clock = clock
        self._random = random
        self._loop = loop
        self._on_up = on_up
        self.counts = Counts()
        self.replies = Replies(clock=clock)
        self.problem = "no server was tried yet"
        self._interests: dict[int, Interest] = {}
        self._last_sid = 0
        self._link: Link | None = None
        self._lost: Deferred[None] | None = None
        #: What ``_keep`` waits for: to be let in, to be lost, or for the next try.
        self._waiting: Deferred[None] | None = None
        self._running: Deferred[None] | None = None
        self._first_up: Deferred[None] | None = None
        self._stopped = False
        self._said_at = -LOG_INTERVAL_S
        self._refusal_said_at = -LOG_INTERVAL_S
        self._known: dict[str, bytes] = {}
        # Nobody may guess it: whoever can publish to it answers our requests.
        self._inbox = "_INBOX.{}.{}".format(
            login.user, "".join(f"{int(random() * 2**32):08x}" for _ in "1234")
        )
        self._inbox_prefix = self._inbox.encode() + b"."
        self.listen(f"{self._inbox}.*", self._replied)

    # Life

    async def start(self, timeout_s: float) -> None:
        """Until the first link is up.

        :raises StartupError: it was not in time, or never will be (password, certificate, version).
        """
        self._first_up = Deferred()
        self._running = Deferred.fromCoroutine(self._keep())
        try:
            await with_timeout(self._first_up, timeout_s=timeout_s, clock=self._clock)
        except TimeoutError:
            await self.stop()
            raise StartupError(
                f"NATS cannot be reached at {', '.join(self._servers)} ({self.problem});"
                " start it, or correct the address of the bus in the configuration"
            ) from None
        except StartupError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Hang up when the server has what was sent."""
        self._stopped = True
        if self._link is not None:
            with suppress(TimeoutError):
                settled = self._link.settle()
                await with_timeout(settled, timeout_s=_WAIT_FOR_LAST_WRITES_S, clock=self._clock)
        link, self._link = self._link, None
        if link is not None:
            link.end()
        self.replies.stop()
        if self._waiting is not None and not self._waiting.called:
            self._waiting.cancel()
        if self._running is not None:
            await self._running

    @property
    def is_connected(self) -> bool:
        return self._link is not None

    @property
    def queued(self) -> tuple[int, int]:
        """Messages and bytes that the server has not taken yet."""
        return (0, 0) if self._link is None else self._link.queued

    async def _keep(self) -> None:
        backoff = Backoff(self._random)
        turn = int(self._random() * len(self._servers))
        while not self._stopped:
            up_at = self._clock.seconds()
            try:
                if await self._follow(self._servers[turn % len(self._servers)]):
                    backoff.was_up(self._clock.seconds() - up_at)
            except Exception:
                # Nothing else would make another link, ever.
                self._log.failure("a mistake of this node; it hangs up on NATS and comes again")
                self._hang_up()
            turn += 1
            await self._pause(backoff.next())

    def _hang_up(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.end()
            self.replies.fail(BusFailure("the connection to NATS was lost"))

    async def _pause(self, delay_s: float) -> None:
        if self._stopped:
            return
        self._waiting = sleep(delay_s, clock=self._clock)
        with suppress(CancelledError):
            await self._waiting

    async def _follow(self, server: str) -> bool:
        """One link from its beginning to its end; whether it was ever up."""
        link = Link(
            loop=self._loop,
            interests=self._interests,
            on_lost=self._link_lost,
            on_refused=self._not_permitted,
        )
        try:
            self._waiting = link.open(server, self._login)
            await self._waiting
            _check_version(link.server_version)
        except asyncio.CancelledError:
            # Only stop() cancels.
            return False
        except Exception as error:
            link.end()
            self._failed(server, error)
            return False
        if self._stopped or not link.is_connected:
            link.end()
            return False
        self._link = link
        lost = self._lost = self._waiting = Deferred()
        for sid, interest in self._interests.items():
            link.command(_sub(sid, interest))
        await link.settle()
        if self._link is link:
            self._up(server)
        with suppress(CancelledError):
            await lost
        return True

    def _up(self, server: str) -> None:
        first, self._first_up = self._first_up, None
        self.problem = ""
        self._said_at = -LOG_INTERVAL_S
        self._log.info("connected to NATS at {server}", server=server)
        if first is not None:
            first.callback(None)
        else:
            self.counts.reconnects += 1
        self._on_up(first is not None)

    def _link_lost(self, link: Link, error: Exception) -> None:
        if link is not self._link:
            return
        self._link = None
        self._log.warn("the connection to NATS is lost: {error}", error=_said(error))
        self.replies.fail(BusFailure("the connection to NATS was lost"))
        if self._lost is not None and not self._lost.called:
            self._lost.callback(None)

    def _failed(self, server: str, error: Exception) -> None:
        self.problem = _said(error)
        if self._first_up is not None and not self._first_up.called and _is_hopeless(error):
            first, self._first_up = self._first_up, None
            first.errback(StartupError(f"NATS at {server}: {_advice(self.problem, self._login)}"))
        now = self._clock.seconds()
        if now - self._said_at >= LOG_INTERVAL_S:
            self._said_at = now
            self._log.error("no connection to NATS at {server}: {error}", server=server, error=self.problem)

    def _not_permitted(self, message: str) -> None:
        """The server took something as not said; whoever asked it need not wait for the time-out."""
        now = self._clock.seconds()
        if now - self._refusal_said_at >= LOG_INTERVAL_S:
            self._refusal_said_at = now
            self._log.error("NATS: {message} (user {user})", message=message, user=self._login.user)
        self.counts.refused += 1
        quoted = message.split('"')
        if "publish" in quoted[0] and len(quoted) > 1:
            self.replies.fail(NotPermitted(message), subject=quoted[1])

    # Sending

    def publish(self, subject: str, payload: bytes, *, headers: bytes = b"") -> None:
        """As the Bus says."""
        self.answer(self._known.get(subject) or self._encode(subject), payload, headers)

    def answer(self, inbox: bytes, payload: bytes, headers: bytes = b"") -> None:
        """To where a message asked for an answer."""
        size = len(payload)
        if headers:
            size += len(headers)
            frame = b"HPUB %b %d %d\r\n%b%b\r\n" % (inbox, len(headers), size, headers, payload)
        else:
            frame = b"PUB %b %d\r\n%b\r\n" % (inbox, size, payload)
        self._send(frame, size)

    def ask(self, subject: str, payload: bytes, *, timeout_s: float, headers: bytes = b"") -> Deferred[bytes]:
        """The answer; raises at once what did not even go out."""
        return self.ask_raw(
            self._known.get(subject) or self._encode(subject),
            payload,
            timeout_s=timeout_s,
            headers=headers,
            subject=subject,
        )

    def ask_raw(
        self, encoded: bytes, payload: bytes, *, timeout_s: float, subject: str, headers: bytes = b""
    ) -> Deferred[bytes]:
        """As ``ask``; JetStream has subjects that end in a pattern."""
        if self._link is None:
            raise BusRefused("the bus is not connected")
        token, answer = self.replies.expect(subject, timeout_s)
        size = len(payload)
        inbox = self._inbox_prefix + token
        if headers:
            size += len(headers)
            frame = b"HPUB %b %b %d %d\r\n%b%b\r\n" % (encoded, inbox, len(headers), size, headers, payload)
        else:
            frame = b"PUB %b %b %d\r\n%b\r\n" % (encoded, inbox, size, payload)
        try:
            self._send(frame, size)
        except Exception:
            self.replies.forget(token)
            raise
        return answer

    def ask_many(self, subject: str, payload: bytes, *, inbox: str) -> None:
        """Ask for what will come to an inbox of ``new_inbox``."""
        frame = b"PUB %b %b %d\r\n%b\r\n" % (self._encode(subject), inbox.encode(), len(payload), payload)
        self._send(frame, len(payload))

    def new_inbox(self) -> str:
        """A subject to listen on that nobody else can publish to unasked."""
        return f"{self._inbox}.in.{self._last_sid + 1}"

    def _send(self, frame: bytes, size: int) -> None:
        link = self._link
        if link is None:
            raise BusRefused("the bus is not connected")
        if size > link.max_payload:
            # The server would hang up on us.
            raise ValueError(f"{size} bytes are more than the max_payload of this NATS, {link.max_payload}")
        link.send(frame)
        self.counts.sent += 1
        self.counts.sent_bytes += size

    def _encode(self, subject: str) -> bytes:
        encoded = check_subject(subject).encode()
        if len(self._known) >= MAX_KNOWN_SUBJECTS:
            self._known.clear()
        self._known[subject] = encoded
        return encoded

    # Listening

    def listen(self, subject: str, take: Take, *, queue: str = "") -> int:
        """Have what comes on a subject or pattern, on this link and all later ones, until ``unlisten``."""
        self._last_sid += 1
        interest = self._interests[self._last_sid] = Interest(subject, queue, self._counted(take))
        if self._link is not None:
            self._link.command(_sub(self._last_sid, interest))
        return self._last_sid

    def unlisten(self, sid: int) -> None:
        """What the server has sent already still comes until ``settle``, and then is dropped."""
        self._interests.pop(sid, None)
        if self._link is not None:
            self._link.command(b"UNSUB %d\r\n" % sid)

    async def mute(self, sids: Sequence[int]) -> None:
        """No more of these from the server, but have what it has already sent."""
        if self._link is not None:
            for sid in sids:
                self._link.command(b"UNSUB %d\r\n" % sid)
            with suppress(TimeoutError):
                settled = self._link.settle()
                await with_timeout(settled, timeout_s=_WAIT_FOR_LAST_WRITES_S, clock=self._clock)
        for sid in sids:
            self._interests.pop(sid, None)

    def _counted(self, take: Take) -> Take:
        counts = self.counts

        def counting(subject: bytes, reply: bytes, payload: bytes, headers: bytes | None) -> None:
            counts.received += 1
            counts.received_bytes += len(payload)
            take(subject, reply, payload, headers)

        return counting

    def _replied(self, subject: bytes, _: bytes, payload: bytes, headers: bytes | None) -> None:
        self.replies.take(subject[len(self._inbox_prefix) :], payload, headers)


def _sub(sid: int, interest: Interest) -> bytes:
    return f"SUB {interest.subject} {interest.queue} {sid}\r\n".encode()


def _check_version(version: str) -> None:
    numbers = tuple(int(part) for part in version.split("-", maxsplit=1)[0].split(".") if part.isdigit())
    if numbers < MIN_SERVER_VERSION:
        wanted = ".".join(str(number) for number in MIN_SERVER_VERSION)
        raise errors.Error(f"nats-server {version} is too old, {wanted} or newer is needed")


def _is_hopeless(error: Exception) -> bool:
    """Whether trying again without somebody's help is in vain."""
    said = str(error).lower()
    return (
        isinstance(error, SSLCertVerificationError | errors.SecureConnWantedError)
        or "authorization violation" in said
        or "too old" in said
    )


def _advice(problem: str, login: Login) -> str:
    if "authorization violation" in problem.lower():
        return f"it refuses user {login.user!r}; correct user and password of the bus in the configuration"
    if "secure connection" in problem:
        return "it offers no TLS, but TLS is configured; give it a certificate (tls in nats.conf)"
    return problem


def _said(error: Exception) -> str:
    return str(error).removeprefix("nats: ") or type(error).__name__
