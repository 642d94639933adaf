"""From Connect to Connected and the first SyncResp: who is it, and what has it missed?"""

from __future__ import annotations

from collections.abc import Callable
from sys import intern
from typing import NamedTuple

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from imd.core.directory import Claims, Directory
from imd.core.gateway.faults import Faults
from imd.core.gateway.registry import Registry
from imd.core.gateway.replies import Replies, same_request
from imd.core.gateway.second_look import SecondLook
from imd.core.gateway.session import Session
from imd.core.gateway.watching import Watching
from imd.core.message.catch_up import CatchUp
from imd.core.message.live import LiveConversations
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.errors import AuthFailed, ImError, InternalError, PayloadInvalid
from imd.kernel.ids import Snowflake, check_id
from imd.ops.logs.refused import log_refused
from imd.pb.connection_pb2 import ACK_FINAL_ONLY, Connect, Connected, Limits, TokenRefreshed
from imd.pb.envelope_pb2 import Envelope
from imd.pb.sync_pb2 import SyncReq
from imd.wire.outbound import control
from imd.wire.server import Do, Input

#: Tokens are about 400 bytes; nobody makes us parse megabytes of them.
MAX_TOKEN_BYTES = 4096
#: What a token must say for sends, recalls and typing (spec 24.4).
SEND_SCOPE = "message:send"
#: A label for people, kept in presence.
MAX_PLATFORM_LENGTH = 32
#: Of what a client says of its version so much counts.
MAX_VERSION_LENGTH = 64


class Greeting(NamedTuple):
    """What every client is told in Connected. ``epoch`` is known when the data folder is open."""

    server_id: str
    epoch: Callable[[], str]
    heartbeat_interval_s: float
    idle_timeout_s: float
    limits: Limits


class Authenticator:
    """Lets people in.

    :param second_look: if there are other nodes, which may hear of a session a moment late.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        greeting: Greeting,
        max_devices_per_user: int,
        registry: Registry,
        replies: Replies,
        directory: Directory,
        live: LiveConversations,
        catch_up: CatchUp,
        watching: Watching,
        ids: Snowflake,
        clock: Clock,
        wall_clock: WallClock,
        second_look: SecondLook | None = None,
    ) -> None:
        self._greeting = greeting
        self._max_devices_per_user = max_devices_per_user
        self._registry = registry
        self._replies = replies
        self._directory = directory
        self._live = live
        self._catch_up = catch_up
        self._watching = watching
        self._ids = ids
        self._clock = clock
        self._wall_clock = wall_clock
        self._second_look = second_look
        self._faults = Faults(clock=clock)

    async def authenticate(self, session: Session, envelope: Envelope) -> None:
        """Answer a Connect, one way or the other."""
        connect = envelope.connect
        request_id = envelope.header.requestId
        try:
            claims = await self._verified(connect)
            if session.connection.step(Input.ACCEPTED) is not Do.GREET:
                return
            self._welcome(session, envelope, claims)
            await self._first_sync(session, connect)
        except ImError as error:
            log_refused(self._log, "connect", error, peer=session.link.address, user_id=session.user_id)
            # Also without the first sync: the client would not know what it misses.
            self._replies.close(session, error, request_id)
        except CancelledError:
            # The server goes down.
            raise
        except Exception:
            self._faults.log("connect")
            self._replies.close(session, InternalError("the server failed to let you in"), request_id)

    async def _verified(self, connect: Connect) -> Claims:
        device_id = check_id(connect.deviceId, "connect.deviceId")
        if not connect.token or len(connect.token) > MAX_TOKEN_BYTES:
            raise AuthFailed("the token is missing or too long", field="connect.token")
        if len(connect.platform) > MAX_PLATFORM_LENGTH or not connect.platform.isprintable():
            raise PayloadInvalid(
                f"platform must be at most {MAX_PLATFORM_LENGTH} printable characters",
                field="connect.platform",
            )
        while True:
            revocations = self._registry.revocations
            claims = self._still_good(await self._directory.verify(connect.token, device_id))
            if revocations == self._registry.revocations:
                return claims
            # It may have been this login's; there was no session yet that it could have ended.

    def _still_good(self, claims: Claims) -> Claims:
        if self._registry.is_revoked(claims.login_id):
            raise AuthFailed("this login has ended; log in again")
        return claims

    def _welcome(self, session: Session, envelope: Envelope, claims: Claims) -> None:
        connect = envelope.connect
        registry = self._registry
        session.user_id = claims.user_id
        session.device_id = claims.device_id
        session.login_id = claims.login_id
        session.platform = connect.platform
        # Thousands of clients say the same few words.
        session.client_version = intern(connect.clientVersion[:MAX_VERSION_LENGTH])
        session.session_id = self._ids.next()
        session.live_since_s = self._clock.seconds()
        session.expires_at_ms = claims.expires_at_ms
        session.acks_final_only = connect.acks == ACK_FINAL_ONLY
        session.may_send = SEND_SCOPE in claims.scopes
        session.ticket, session.level = claims.ticket, claims.level
        old = registry.find(claims.user_id, claims.device_id)
        if old is not None:
            self._replies.kick(old, "same_device")
        others = registry.of_user(claims.user_id)
        if len(others) >= self._max_devices_per_user:
            self._replies.kick(others[0], "too_many_devices")
        registry.enroll(session)
        session.push(control(Envelope(header=same_request(envelope), connected=self._connected(session))))
        self._watching.came(session)

    def _connected(self, session: Session) -> Connected:
        greeting = self._greeting
        return Connected(
            userId=session.user_id,
            deviceId=session.device_id,
            sessionId=f"{session.session_id:x}",
            serverId=greeting.server_id,
            epoch=greeting.epoch(),
            serverTime=self._wall_clock(),
            heartbeatIntervalS=int(greeting.heartbeat_interval_s),
            idleTimeoutS=int(greeting.idle_timeout_s),
            tokenExpiresAt=session.expires_at_ms,
            limits=greeting.limits,
        )

    async def _first_sync(self, session: Session, connect: Connect) -> None:
        """Listen to one's conversations first, then see what is missing: nothing falls in between."""
        entries = await self._directory.conversations_of(session.speaker)
        if not _is_live(session):
            return
        self._live.arrived(session, [entry.conversation_id for entry in entries])
        await self._watching.announced(session)
        if not _is_live(session):
            return
        answer = await self._catch_up.sync(session.speaker, SyncReq(cursors=connect.cursors), entries=entries)
        session.push(control(Envelope(syncResp=answer)))
        if self._second_look is not None:
            self._second_look.arrived(session, entries, connect.cursors, answer)

    async def refresh_token(self, session: Session, envelope: Envelope) -> None:
        """A new token for the live connection; it must be the same user's, on the same device."""
        token = envelope.refreshToken.token
        if not token or len(token) > MAX_TOKEN_BYTES:
            raise AuthFailed("the token is missing or too long", field="refreshToken.token")
        claims = self._still_good(await self._directory.verify(token, session.device_id))
        if claims.user_id != session.user_id:
            raise AuthFailed("this token is somebody else's", field="refreshToken.token")
        session.login_id = claims.login_id
        session.expires_at_ms = claims.expires_at_ms
        session.may_send = SEND_SCOPE in claims.scopes
        session.ticket, session.level = claims.ticket, claims.level
        refreshed = TokenRefreshed(tokenExpiresAt=claims.expires_at_ms)
        session.push(control(Envelope(header=same_request(envelope), tokenRefreshed=refreshed)))


def _is_live(session: Session) -> bool:
    """Whether it is still there, after something was waited for."""
    return session.user is not None
