"""The line to the server: connects, stays connected, comes back, and knows when not to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from imd.client.backoff import Backoff
from imd.client.connection import Connection
from imd.client.errors import Disconnected, SessionOver, Unreachable
from imd.client.events import ConnectionState
from imd.client.transport import Dial
from imd.kernel.clocks import Clock
from imd.kernel.errors import AuthFailed, Forbidden, ImError, PayloadInvalid
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep
from imd.pb.connection_pb2 import Connect, Connected
from imd.pb.envelope_pb2 import Envelope
from imd.wire.client import Ended, Event, Frame, FramesLost, Leave, Opened, Refusal, Why

#: A token for the device; asked before each connect and before the live one's token expires. It
#: may answer the same token again; AuthFailed from it ends the session, anything else is retried.
TokenSource = Callable[[], Awaitable[str]]

#: A connection that lived so long was a good one: the next loss begins with the shortest wait.
GOOD_LIFE_S = 5.0
#: Fresh tokens that may be refused in a row before this is taken for a no.
MAX_REFUSED_TOKENS = 3
#: The server lets a token be refreshed when 15 min are left; half the life of a shorter one.
REFRESH_LEAD_S = 600.0
REFRESH_RETRY_S = 30.0
#: Leaving a draining node, in-flight messages get so long to be ACKed there.
LEAVE_PATIENCE_S = 2.0


class Listener(Protocol):
    """Who gets what comes over the line."""

    def line_connect(self) -> Connect:
        """A Connect without the token."""
        ...

    def line_opened(self, connected: Connected) -> None: ...

    def line_frame(self, frame: Frame) -> None: ...

    def line_refusal(self, refusal: Refusal) -> None: ...

    def line_frames_lost(self, count: int) -> None: ...

    def line_leaving(self) -> None:
        """The node goes away: begin nothing new on this connection."""
        ...

    def line_closed(self) -> None:
        """The connection is gone; another one follows."""
        ...

    def line_state(self, state: ConnectionState, reason: str) -> None: ...

    def line_ended(self, error: ImError) -> None:
        """For good; nothing follows."""
        ...


class Line:
    """One device's connection, again and again, until ``stop`` or until the server says no."""

    _log = Logger()

    def __init__(
        self,
        *,
        dial: Dial,
        clock: Clock,
        random: Random,
        tasks: Tasks,
        token_source: TokenSource,
        listener: Listener,
    ) -> None:
        self._dial = dial
        self._clock = clock
        self._random = random
        self._tasks = tasks
        self._token_source = token_source
        self._listener = listener
        self._backoff = Backoff(random=random)
        self._connection: Connection | None = None
        self._over: Deferred[Ended] | None = None
        self._token = ""
        self._refused_token: str | None = None
        self._refused_count = 0
        self._refusal: ImError = AuthFailed("the token was refused")
        self._opened_s: float | None = None
        self._server_ahead_ms = 0.0
        self._was_live = False
        self._leaving = False
        self._stopped = False
        self._timers: list[IDelayedCall] = []

    @property
    def live(self) -> bool:
        """Whether requests can be made."""
        return self._connection is not None and self._connection.live

    def tell(self, envelope: Envelope) -> None:
        """Without an answer; lost while not live."""
        if self._connection is not None:
            self._connection.tell(envelope)

    def send(self, envelope: Envelope) -> int:
        """The answer comes as a frame; the request id."""
        return self._connection.send(envelope) if self._connection is not None else 0

    def ask(self, envelope: Envelope) -> Deferred[Envelope]:
        """The answer, or an ImError."""
        if self._connection is None:
            answer: Deferred[Envelope] = Deferred()
            answer.errback(Disconnected("not connected"))
            return answer
        return self._connection.ask(envelope)

    def drop(self, reason: str) -> None:
        """Give this connection up and come back on a new one."""
        if self._connection is not None:
            self._connection.close(reason)

    def left(self) -> None:
        """Nothing is in flight any more: a node that is to be left can be left now."""
        if self._leaving:
            self.drop("leaving as asked")

    async def run(self, *, keep_trying: bool) -> None:
        """Until it is over for good; ``keep_trying``: also when the very first connect fails."""
        self._listener.line_state(ConnectionState.CONNECTING, "")
        while True:
            ended = await self._one_life()
            if self._stopped:
                return
            error = self._final(ended, keep_trying=keep_trying)
            if error is not None:
                self._listener.line_state(ConnectionState.ENDED, error.message)
                self._listener.line_ended(error)
                return
            self._listener.line_state(ConnectionState.RECONNECTING, ended.reason)
            await sleep(self._wait_s(ended), clock=self._clock)

    def stop(self) -> None:
        """Close the connection; cancelling ``run`` is the owner's part."""
        self._stopped = True
        self._cancel_timers()
        if self._connection is not None:
            self._connection.close("stopped")

    async def _one_life(self) -> Ended:
        over: Deferred[Ended] = Deferred()
        self._over = over
        self._opened_s = None
        try:
            self._token = await self._token_source()
            if self._token == self._refused_token:
                return Ended(Why.REFUSED, self._refusal.message, self._refusal)
            self._connection = Connection(dial=self._dial, clock=self._clock, on_event=self._happened)
            connect = self._listener.line_connect()
            connect.token = self._token
            await self._connection.open(connect)
            return await over
        except AuthFailed as error:
            self._refused_token = self._token
            return Ended(Why.REFUSED, error.message, error)
        except ImError as error:
            return Ended(Why.LOST, error.message, error)
        except CancelledError:
            raise
        except Exception as error:
            self._log.failure("no connection")
            return Ended(Why.LOST, f"{type(error).__name__}: {error}")
        finally:
            self._connection = None
            self._cancel_timers()
            self._listener.line_closed()

    def _happened(self, event: Event) -> None:
        if isinstance(event, Frame):
            self._listener.line_frame(event)
        elif isinstance(event, Opened):
            self._opened(event.connected)
        elif isinstance(event, Refusal):
            self._listener.line_refusal(event)
        elif isinstance(event, FramesLost):
            self._listener.line_frames_lost(event.missing)
        elif isinstance(event, Leave):
            self._leave(event)
        elif self._over is not None and not self._over.called:
            self._over.callback(event)

    def _opened(self, connected: Connected) -> None:
        self._was_live = True
        self._leaving = False
        self._opened_s = self._clock.seconds()
        self._refused_count = 0
        self._refused_token = None
        self._server_ahead_ms = connected.serverTime - self._opened_s * 1000
        self._plan_refresh(connected.tokenExpiresAt)
        self._listener.line_opened(connected)
        self._listener.line_state(ConnectionState.LIVE, "")

    def _final(self, ended: Ended, *, keep_trying: bool) -> ImError | None:
        """The error to end with, or None to come back."""
        error = ended.error
        if ended.why is Why.KICKED:
            return SessionOver(f"this session was ended: {ended.reason or 'kicked'}")
        if isinstance(error, AuthFailed):
            if self._token == self._refused_token or self._refused_count >= MAX_REFUSED_TOKENS:
                return error
            self._refused_token, self._refusal = self._token, error
            self._refused_count += 1
            return None
        if isinstance(error, Forbidden | PayloadInvalid):
            return error
        if self._was_live or keep_trying:
            return None
        return error if error is not None else Unreachable(ended.reason)

    def _wait_s(self, ended: Ended) -> float:
        if ended.why is Why.LEAVING:
            return self._random.uniform(0.0, ended.spread_ms / 1000)
        if isinstance(ended.error, AuthFailed) and self._refused_count == 1:
            return 0.0
        if self._opened_s is not None and self._clock.seconds() - self._opened_s >= GOOD_LIFE_S:
            self._backoff.reset()
        asked_s = ended.error.retry_after_ms / 1000 if ended.error is not None else 0.0
        return max(self._backoff.next_s(), asked_s)

    def _leave(self, leave: Leave) -> None:
        """Spread over the time the server gives; the connection serves until then."""
        wait_s = self._random.uniform(0.0, leave.spread_ms / 1000)
        if leave.deadline_ms:
            wait_s = min(wait_s, leave.deadline_ms / 1000)
        self._later(wait_s, self._leave_now)

    def _leave_now(self) -> None:
        self._leaving = True
        self._later(LEAVE_PATIENCE_S, self.drop, "leaving as asked")
        self._listener.line_leaving()

    def _plan_refresh(self, expires_at_ms: int) -> None:
        """By the server's clock; this machine's may be wrong."""
        left_s = (expires_at_ms - self._server_ahead_ms) / 1000 - self._clock.seconds()
        if left_s > 0:
            self._later(left_s - min(REFRESH_LEAD_S, left_s / 2), self._refresh)

    def _refresh(self) -> None:
        self._tasks.spawn("refresh token", self._ask_refresh())

    async def _ask_refresh(self) -> None:
        connection = self._connection
        try:
            token = await self._token_source()
            if token != self._token and self._connection is connection:
                envelope = Envelope()
                envelope.refreshToken.token = token
                answer = await self.ask(envelope)
                self._token = token
                self._plan_refresh(answer.tokenRefreshed.tokenExpiresAt)
                return
        except ImError as error:
            self._log.info("the token was not refreshed: {error}", error=error.message)
        if self._connection is connection and connection is not None:
            self._later(REFRESH_RETRY_S, self._refresh)

    def _later(self, delay_s: float, call: Callable[..., None], *args: object) -> None:
        self._timers = [timer for timer in self._timers if timer.active()]
        self._timers.append(self._clock.callLater(delay_s, call, *args))

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        self._timers.clear()
