"""Sessions and presence: who comes and goes is told to presence and to the other nodes, what presence says to those
who watch."""

from __future__ import annotations

from collections.abc import Sequence

from imd.core.directory import Speaker
from imd.core.explain.ports import NO_RECORD, SessionRecord
from imd.core.gateway.session import Session
from imd.core.presence.announce import SessionRoutes
from imd.core.presence.model import PresenceState
from imd.core.presence.presence import Presence
from imd.pb.envelope_pb2 import Envelope, Header
from imd.pb.presence_pb2 import DevicePresence, PresenceNotice
from imd.pb.presence_pb2 import Presence as PresencePayload
from imd.wire.codec import encode
from imd.wire.outbound import Outbound, Priority, control


class SessionWatcher:
    """Presence's way to one session."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def speaker(self) -> Speaker:
        """Whose session it is."""
        return self._session.speaker

    def presence_changed(self, states: Sequence[PresenceState]) -> None:
        """Tell the session; a slow reader may miss it and asks anew after its resync."""
        self._session.push(Outbound(encode(Envelope(presenceNotice=_notice(states))), Priority.BULK))


class Watching:
    """Joins the gateway's sessions to presence, to the routes if there are other nodes, and to what is remembered."""

    def __init__(
        self,
        *,
        presence: Presence,
        routes: SessionRoutes | None = None,
        record: SessionRecord = NO_RECORD,
    ) -> None:
        self._presence = presence
        self._routes = routes
        self._record = record

    def came(self, session: Session) -> None:
        """A session is live."""
        self._presence.session_online(
            session.user_id, session.session_id, session.platform, session.device_id
        )
        if self._routes is not None:
            self._routes.came(session)
        self._record.came(session.user_id, session.session_id, session.device_id)

    def gone(self, session: Session, why: str) -> None:
        """A session has ended."""
        self._record.gone(session.user_id, session.session_id, why)
        self._presence.session_offline(session.user_id, session.session_id)
        if self._routes is not None:
            self._routes.gone(session)
        if isinstance(session.watcher, SessionWatcher):
            self._presence.unsubscribe(session.watcher)
            session.watcher = None

    async def announced(self, session: Session) -> None:
        """Returns when the other nodes know of the session, or cannot be told now."""
        if self._routes is not None:
            await self._routes.announced(session)

    async def subscribe(self, session: Session, envelope: Envelope) -> None:
        """Answer with everybody's state now; changes follow."""
        watcher = session.watcher
        if not isinstance(watcher, SessionWatcher):
            watcher = session.watcher = SessionWatcher(session)
        user_ids = list(envelope.presenceSubscribeReq.userIds)
        states = await self._presence.subscribe(watcher, user_ids)
        if session.user is None:
            self._presence.unsubscribe(watcher)
            return
        header = Header(requestId=envelope.header.requestId)
        session.push(control(Envelope(header=header, presenceNotice=_notice(states))))


def _notice(states: Sequence[PresenceState]) -> PresenceNotice:
    return PresenceNotice(
        users=[
            PresencePayload(
                userId=state.user_id,
                online=state.online,
                devices=[
                    DevicePresence(platform=device.platform, since=device.since_ms)
                    for device in state.devices
                ],
                lastSeen=state.last_seen_ms,
            )
            for state in states
        ]
    )
