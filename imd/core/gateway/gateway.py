"""The gateway: what the connection machine says is to be done, done.

accept -> Connect -> verify -> (kick the same device) -> Connected -> first SyncResp -> requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from imd.core.explain.ports import NO_RECORD, SessionRecord
from imd.core.gateway.authenticate import Authenticator
from imd.core.gateway.flush import FlushTick
from imd.core.gateway.limits import Address, GrayRates, Rates, bucket
from imd.core.gateway.registry import Registry
from imd.core.gateway.replies import Replies, same_request
from imd.core.gateway.requests import Requests
from imd.core.gateway.session import BACKLOG, Link, QueueLimits, Session
from imd.core.gateway.traffic import Traffic
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError, PayloadInvalid, RateLimited, ServerBusy
from imd.kernel.tasks import Tasks
from imd.kernel.token_bucket import TokenBucket
from imd.pb.connection_pb2 import Heartbeat
from imd.pb.envelope_pb2 import Envelope
from imd.wire.outbound import control
from imd.wire.server import Do, Input, Received, ServerConnection

#: Frames of one connection in one reactor turn; the others have theirs.
FRAMES_PER_TURN = 64
#: What a node misses is back in a moment, or the client has another node by then.
NOT_READY_RETRY_MS = 1_000


class GatewayLimits(NamedTuple):
    """Of this node and of each connection, see ``config.sections.Gateway``."""

    max_connections: int
    max_strangers: int
    envelope_bytes: int
    queue: QueueLimits


class Gateway:
    """All connections of this node, whatever they came over."""

    def __init__(
        self,
        *,
        limits: GatewayLimits,
        rates: Rates,
        registry: Registry,
        flush: FlushTick,
        replies: Replies,
        requests: Requests,
        authenticator: Authenticator,
        clock: Clock,
        tasks: Tasks,
        record: SessionRecord = NO_RECORD,
    ) -> None:
        self._limits = limits
        self._device_frames_per_s = rates.device_frames_per_s
        self._registry = registry
        self._flush = flush
        self._replies = replies
        self._requests = requests
        self._authenticator = authenticator
        self._clock = clock
        self._tasks = tasks
        self._record = record
        self.traffic = Traffic()
        self.draining = False
        #: Asked for each newcomer: whether what a session needs is there. Sessions that exist stay.
        self.takes_sessions: Callable[[], bool] = lambda: True
        #: Told in each heartbeat: this node is cut off, and hears late of what others store.
        self.is_degraded: Callable[[], bool] = lambda: False

    @property
    def max_envelope_bytes(self) -> int:
        """What a transport must be able to carry in one message."""
        return self._limits.envelope_bytes

    @property
    def max_connections(self) -> int:
        """Above so many nobody else is let in."""
        return self._limits.max_connections

    @property
    def connection_count(self) -> int:
        """How many are open, strangers included."""
        return len(self._registry)

    # From the transports

    def open(self, link: Link) -> Session | None:
        """A connection was accepted; None if it must be dropped at once."""
        limits, registry = self._limits, self._registry
        address = registry.address(link.address)
        # Not before: a bucket that is made just now would see time go back.
        now_s = self._clock.seconds()
        reason = self._full(address, now_s)
        if reason:
            self.traffic.not_let_in[reason] += 1
            return None
        self.traffic.opened += 1
        session = Session(
            connection=ServerConnection(limit_bytes=self._limits.envelope_bytes),
            link=link,
            from_address=address,
            request_flush=self._flush.request,
            queue_limits=limits.queue,
            on_shed=self._shed,
            traffic=self.traffic,
            now_s=now_s,
        )
        registry.opened(session)
        return session

    def _shed(self, session: Session) -> None:
        self._record.shed(session.user_id, session.session_id)

    def _full(self, address: Address, now_s: float) -> str:
        """Why nobody is let in from there now; empty: somebody is."""
        limits, registry = self._limits, self._registry
        if self.draining:
            return "draining"
        if len(registry) >= limits.max_connections:
            return "full"
        if registry.stranger_count >= limits.max_strangers:
            return "strangers"
        return "rate" if address.connects is not None and not address.connects.take(now_s) else ""

    def received(self, session: Session) -> None:
        """The session's machine was fed; act on at most ``FRAMES_PER_TURN`` frames, the rest next turn."""
        if not session.held & BACKLOG:
            self._take(session)

    def _take(self, session: Session) -> None:
        now_s = self._clock.seconds()
        connection = session.connection
        payload, frames, size_bytes = "", 0, 0
        heard = False
        for received in connection.take(FRAMES_PER_TURN, now_s):
            heard = True
            if received.payload != payload:
                if frames:
                    # Most come in runs, and are counted so.
                    self.traffic.came(payload, frames, size_bytes)
                payload, frames, size_bytes = received.payload, 0, 0
            frames += 1
            size_bytes += received.size_bytes
            if received.do is Do.SERVE:
                if self._within_rates(session, now_s, received):
                    envelope = received.envelope
                    assert envelope is not None
                    self._requests.serve(session, received.payload, envelope, received.size_bytes)
            else:
                self._act(session, received, now_s)
        if heard:
            self.traffic.came(payload, frames, size_bytes)
            session.heard_at_s = now_s
        if not connection.partial:
            session.partial_since_s = None
        elif heard or session.partial_since_s is None:
            # The frame before it is complete, so this one has only begun.
            session.partial_since_s = now_s
        if connection.backlog:
            session.hold(BACKLOG)
            self._clock.callLater(0, self._take, session)
        elif session.held & BACKLOG:
            session.release(BACKLOG)

    def lost(self, session: Session) -> None:
        """The connection is gone."""
        session.connection.step(Input.LOST)
        session.gone()
        if self._registry.closed(session):
            unread = session.ending == "unread"
            self._replies.retire(
                session, "it did not read, and was cut off" if unread else "the connection was lost"
            )

    # What the machine wants done

    def _act(self, session: Session, received: Received, now_s: float) -> None:
        if received.do is Do.PONG:
            if self._within_rates(session, now_s, received):
                self._pong(session, received)
        elif received.do is Do.AUTHENTICATE:
            assert received.envelope is not None
            if not self.takes_sessions():
                not_ready = ServerBusy(
                    "this node is not ready; try another one", retry_after_ms=NOT_READY_RETRY_MS
                )
                self._replies.close(session, not_ready, received.envelope.header.requestId)
                return
            self._tasks.spawn("authenticate", self._authenticator.authenticate(session, received.envelope))
        elif received.do is Do.REFUSE:
            assert received.envelope is not None and received.error is not None
            self._replies.answer(session, received.envelope, received.error)
        elif received.do is Do.CLOSE:
            request_id = received.envelope.header.requestId if received.envelope is not None else 0
            self._replies.close(session, received.error or PayloadInvalid("bad request"), request_id)

    def _tokens_short(self, session: Session, now_s: float) -> TokenBucket | None:
        """The bucket in which a token for one more frame is missing."""
        tokens = session.device_bucket
        if tokens is None:
            user = session.user
            rate = self._device_frames_per_s if user is None else user.rates.rates.device_frames_per_s
            if rate:
                tokens = session.device_bucket = bucket(rate, now_s)
        if tokens is not None and not tokens.take(now_s):
            return tokens
        shared = session.from_address.frames
        if shared is not None and not shared.take(now_s):
            return shared
        return None

    def _within_rates(self, session: Session, now_s: float, received: Received) -> bool:
        short = self._tokens_short(session, now_s)
        if short is None:
            return True
        assert received.envelope is not None
        if short is session.device_bucket:
            self.traffic.device_limited += 1
        else:
            self.traffic.address_limited += 1
        error = RateLimited("too many frames", retry_after_ms=short.retry_after_ms())
        if session.user is None:
            self._replies.close(session, error)
        else:
            self._replies.answer(session, received.envelope, error)
        return False

    def charge(self, session: Session) -> bool:
        """Take one frame that the transport itself answers from the rates; whether it was in there."""
        now_s = self._clock.seconds()
        session.heard_at_s = now_s
        self.traffic.heartbeats += 1
        return self._tokens_short(session, now_s) is None

    def _pong(self, session: Session, received: Received) -> None:
        assert received.envelope is not None
        # What it counts goes first: a client that compared too early would sync for nothing.
        session.flush()
        self.traffic.heartbeats += 1
        pong = Heartbeat(
            sentAt=received.envelope.hb.sentAt,
            deliveredCount=session.delivered_count,
            degraded=self.is_degraded(),
        )
        session.push(control(Envelope(header=same_request(received.envelope), hb=pong)))

    def close(self, session: Session, error: ImError, *, how: str = "refused") -> None:
        """Say why, then close.

        :param how: one of ``ENDINGS``, by which it is counted.
        """
        self._replies.close(session, error, how=how)

    def removed(self, user_ids: Iterable[int], conversation_id: str, reason: str) -> None:
        """Tell these users' sessions that they are not in the conversation any more."""
        for user_id in user_ids:
            for session in self._registry.of_user(user_id):
                self._replies.tell_gone(session, conversation_id, reason)

    def change_rates(self, rates: Rates, gray: GrayRates | None = None) -> None:
        """From the next frame on these hold.

        :param gray: what some users have instead.
        """
        self._device_frames_per_s = rates.device_frames_per_s
        self._registry.change_rates(rates, gray)

    def gray_user_count(self) -> int:
        """How many users here have other rates now, by a gray release."""
        return self._registry.gray_user_count()

    def revoke(
        self,
        user_id: int,
        *,
        login_ids: Sequence[str] = (),
        device_id: str,
        except_device_id: str,
        reason: str,
        age_ms: int,
    ) -> int:
        """End the sessions of these logins of a user; how many there were.

        An event may come late, or again: who logged in since then stays. Without ``login_ids`` it is those that
        are older than ``age_ms``. Sessions know that by the clock that is never set back, and one
        that seems to come from the future is of now.
        """
        ended = 0
        self._registry.note_revoked(login_ids)
        # In whole milliseconds: in doubt, the session was there before.
        revoked_at_s = self._clock.seconds() - max(0, age_ms - 1) / 1000
        for session in self._registry.of_user(user_id):
            if login_ids:
                is_meant = session.login_id in login_ids
            elif device_id not in ("", session.device_id) or session.device_id == except_device_id:
                is_meant = False
            else:
                is_meant = session.live_since_s <= revoked_at_s
            if is_meant:
                self._replies.kick(session, reason or "revoked")
                ended += 1
        return ended
