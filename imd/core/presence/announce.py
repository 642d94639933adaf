"""The sessions of this node, told to the others and to the route table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from sys import intern
from typing import Protocol

from google.protobuf.message import DecodeError
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from imd.bus.port import Bus
from imd.bus.subjects import PRESENCE_STATUS, session_kick
from imd.core.nodes.ports import LiveNodes
from imd.core.presence.route_writer import RouteWriter
from imd.core.presence.routes import Route, RouteTable
from imd.core.presence.session_events import EVENTS_PER_MESSAGE, Change, RouteListener, messages
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.errors import ImError
from imd.kernel.eviction import forget_oldest
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import TimeoutError, sleep, with_timeout
from imd.pb.bus_pb2 import KickSession

#: What comes and goes within this time is told in one message and written in one call.
TICK_S = 0.01
#: A newcomer's first sync waits no longer for the others to hear of it.
ANNOUNCE_TIMEOUT_S = 0.3
#: After a failure of the bus, and before all is told again.
RETRY_S = 1.0
#: Changes that the bus did not take; beyond, the oldest are forgotten, and found out by whoever looks in the table.
MAX_UNPUBLISHED = 100_000

#: A time that is further ahead is nonsense, and not followed.
MAX_AHEAD_MS = 24 * 3600 * 1000

#: Ends a session here: user, device, session, reason.
Kick = Callable[[int, str, int, str], None]


class Arrival(Protocol):
    """A live session, as far as a route tells of it."""

    @property
    def user_id(self) -> int: ...

    @property
    def device_id(self) -> str: ...

    @property
    def session_id(self) -> int: ...

    @property
    def platform(self) -> str: ...


class SessionRoutes(RouteListener):
    """A stage: keeps the others informed of who is here, and one live session a device (invariant I10).

    Two sessions of one device are judged by ``Route.is_newer_than`` wherever they meet: in an event of
    another node, and in what the table answers to a write. The times that decide never fall behind those of
    other nodes that were heard before, so that who comes later is the newer one even if clocks differ.
    Without the table, events alone do the same; ``max_devices_per_user`` then holds on each node.
    """

    _logger = Logger()

    def __init__(
        self,
        *,
        live: LiveNodes,
        table: RouteTable,
        bus: Bus,
        clock: Clock,
        wall_clock: WallClock,
        tasks: Tasks,
        max_devices_per_user: int,
    ) -> None:
        self._live = live
        self._bus = bus
        self._clock = clock
        self._wall_clock = wall_clock
        self._tasks = tasks
        self._max_devices_per_user = max_devices_per_user
        self._kick_here: Kick = _nobody
        self._found_elsewhere: Callable[[Route], None] = lambda route: None
        self._sessions: dict[int, tuple[Route, ...]] = {}
        self._latest_heard_ms = 0
        self._changes: dict[int, Change] = {}
        self._writer = RouteWriter(
            table=table, clock=clock, tasks=tasks, tell=self._publish, found=self._judge
        )
        #: Told to nobody, since the bus took nothing.
        self._unpublished: dict[int, Change] = {}
        self._untold: set[int] = set()
        self._waiting: dict[int, Deferred[None]] = {}
        self._timer: IDelayedCall | None = None
        self._republish: IDelayedCall | None = None
        self._telling_again = False
        self._stopped = False
        #: Sessions here that ended since their device came to another node.
        self.migrations = 0

    def on_kick(self, kick: Kick) -> None:
        """Who ends sessions here."""
        self._kick_here = kick

    def on_elsewhere(self, found: Callable[[Route], None]) -> None:
        """Who hears of sessions at other nodes that the table names for users who are here."""
        self._found_elsewhere = found

    async def start(self) -> None:
        """Say that this incarnation is here, and ask the others who is with them."""
        self._bus.subscribe(session_kick(self._live.me.node_id), self._kick_asked)
        self._publish([], again=True)

    async def stop(self) -> None:
        """Nobody is here any more."""
        self._stopped = True
        for timer in (self._timer, self._republish):
            if timer is not None and timer.active():
                timer.cancel()
        now_ms = max(1, self._wall_clock())
        gone = {sid: change for sid, change in self._changes.items() if change.gone_at_ms}
        gone.update({route.session_id: Change(route, now_ms) for route in self})
        self._sessions.clear()
        self._publish(list((self._unpublished | gone).values()))
        await self._writer.stop(list(gone.values()))

    # From the gateway

    def came(self, session: Arrival) -> None:
        """A session is live here."""
        route = Route(
            session.user_id,
            session.device_id,
            self._live.me.node_id,
            session.session_id,
            intern(session.platform),
            max(self._wall_clock(), self._latest_heard_ms + 1),
        )
        self._sessions[route.user_id] = (*self._sessions.get(route.user_id, ()), route)
        self._untold.add(route.session_id)
        self._change(Change(route))

    def gone(self, session: Arrival) -> None:
        """A session has ended; one that is not known changes nothing."""
        user_id, session_id = session.user_id, session.session_id
        routes = self._sessions.get(user_id, ())
        for route in routes:
            if route.session_id == session_id:
                break
        else:
            return
        left = tuple(each for each in routes if each is not route)
        if left:
            self._sessions[user_id] = left
        else:
            del self._sessions[user_id]
        if session_id in self._untold and self._changes.pop(session_id, None) is not None:
            # Nobody has heard of it.
            self._told(session_id)
        else:
            self._change(Change(route, max(1, self._wall_clock())))

    async def announced(self, session: Arrival) -> None:
        """Returns when the others were told of the session; soon, whatever fails."""
        if session.session_id not in self._untold:
            return
        told = self._waiting[session.session_id] = Deferred()
        try:
            await with_timeout(told, timeout_s=ANNOUNCE_TIMEOUT_S, clock=self._clock)
        except TimeoutError:
            self._logger.warn("the other nodes may not have heard of a session yet")
        finally:
            self._waiting.pop(session.session_id, None)

    # For those who ask

    def __iter__(self) -> Iterator[Route]:
        for routes in list(self._sessions.values()):
            yield from routes

    def of_user(self, user_id: int) -> Sequence[Route]:
        """The user's sessions here."""
        return self._sessions.get(user_id, ())

    def is_here(self, route: Route) -> bool:
        """Whether this session is live here."""
        return any(ours.session_id == route.session_id for ours in self._sessions.get(route.user_id, ()))

    def is_settled(self, route: Route) -> bool:
        """Whether nothing about this session is still on its way to the table."""
        return route.session_id not in self._changes and not self._writer.is_due(route.session_id)

    def counts(self) -> dict[str, int]:
        """Sizes, for whoever watches memory."""
        return {
            "users": len(self._sessions),
            "untold": len(self._untold),
            "unwritten": len(self._writer),
            "unpublished": len(self._unpublished),
            "waiting": len(self._waiting),
        }

    # From the other nodes

    def session_came(self, route: Route) -> None:
        self._hear_time(route.since_ms)
        for ours in self.of_user(route.user_id):
            if ours.device_id != route.device_id:
                continue
            if route.is_newer_than(ours):
                self.migrations += 1
                self._kick(ours, "same_device")
            else:
                # The other node may not have heard of it.
                self._change(Change(ours))

    def events_missed(self) -> None:
        """All nodes tell all their sessions again, this one too: a gap is a gap in both directions."""
        self._publish([], again=True)
        self.again_asked()

    def again_asked(self) -> None:
        if not self._telling_again and not self._stopped:
            self._telling_again = True
            self._tasks.spawn("tell all sessions", self._tell_all())

    async def _tell_all(self) -> None:
        # Several may ask at the same time.
        await sleep(RETRY_S, clock=self._clock)
        self._telling_again = False
        routes = list(self)
        for start in range(0, len(routes), EVENTS_PER_MESSAGE):
            self._publish([Change(route) for route in routes[start : start + EVENTS_PER_MESSAGE]])
            await sleep(TICK_S, clock=self._clock)

    async def _kick_asked(self, subject: str, payload: bytes) -> None:
        try:
            asked = KickSession.FromString(payload)
        except DecodeError:
            self._logger.error("no KickSession on {subject}; dropped", subject=subject)
            return
        me = self._live.me.node_id
        route = Route(asked.userId, asked.deviceId, me, asked.sessionId, "", 0)
        if self.is_here(route):
            self._kick(route, asked.reason)
        else:
            # Who asks has found it in the table, where it does not belong.
            self._change(Change(route, max(1, self._wall_clock())))

    def _kick(self, route: Route, reason: str) -> None:
        if route.node_id == self._live.me.node_id:
            self._kick_here(route.user_id, route.device_id, route.session_id, reason)
            return
        asked = KickSession(
            userId=route.user_id, deviceId=route.device_id, sessionId=route.session_id, reason=reason
        )
        try:
            self._bus.publish(session_kick(route.node_id), asked.SerializeToString())
        except ImError as error:
            self._logger.warn("a session at node {id} stays: {error}", id=route.node_id, error=error)

    # To the table

    def put_again(self, routes: Sequence[Route]) -> None:
        """Have these written once more, as far as they are still here; the nodes need not hear of it."""
        due = self._writer.is_due
        again = [Change(route) for route in routes if not due(route.session_id) and self.is_here(route)]
        self._writer.write(again, loud=False)

    def forget(self, routes: Sequence[Route]) -> None:
        """Have these removed from the table: they are said to be this node's, and are not here."""
        now_ms = max(1, self._wall_clock())
        gone = [Change(route, now_ms) for route in routes if not self.is_here(route)]
        self._writer.write(gone, loud=False)

    def _change(self, change: Change) -> None:
        self._changes[change.route.session_id] = change
        if self._timer is None and not self._stopped:
            self._timer = self._clock.callLater(TICK_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        changes, self._changes = self._changes, {}
        self._writer.write(list(changes.values()), loud=True)

    def _hear_time(self, since_ms: int) -> None:
        """Who comes after this is newer than this."""
        if since_ms <= self._wall_clock() + MAX_AHEAD_MS:
            self._latest_heard_ms = max(self._latest_heard_ms, since_ms)

    def _judge(self, ours: Route, routes: Sequence[Route]) -> None:
        """Whether this session, or an older one of the user, has to go."""
        for route in routes:
            if route != ours:
                self._hear_time(route.since_ms)
        if not self.is_here(ours):
            return
        alive = self._live.others | {ours.node_id}
        found = [route for route in routes if route.node_id in alive]
        for route in found:
            if route.device_id == ours.device_id and route.is_newer_than(ours):
                self.migrations += 1
                self._kick(ours, "same_device")
                return
        for route in found:
            if route.node_id != ours.node_id:
                self._found_elsewhere(route)
        found.sort(key=lambda route: (route.since_ms, route.session_id))
        for route in found[: max(0, len(found) - self._max_devices_per_user)]:
            self._kick(route, "too_many_devices")

    # To the bus

    def _publish(self, changes: Sequence[Change], *, again: bool = False) -> None:
        """Tell the nodes; a session that has gone meanwhile is not said to have come."""
        news = [change for change in changes if change.gone_at_ms or self.is_here(change.route)]
        try:
            for payload in messages(self._live.me, news, unrecorded=self._writer.behind, again=again):
                self._bus.publish(PRESENCE_STATUS, payload)
        except ImError as error:
            self._logger.warn("sessions are not told to the other nodes yet: {error}", error=error)
            self._unpublished.update({change.route.session_id: change for change in news})
            forget_oldest(self._unpublished, MAX_UNPUBLISHED)
            if self._republish is None and not self._stopped:
                self._republish = self._clock.callLater(RETRY_S, self._publish_again)
        for change in changes:
            self._told(change.route.session_id)

    def _publish_again(self) -> None:
        self._republish = None
        unpublished, self._unpublished = self._unpublished, {}
        self._publish(list(unpublished.values()))

    def _told(self, session_id: int) -> None:
        self._untold.discard(session_id)
        waiting = self._waiting.pop(session_id, None)
        if waiting is not None:
            waiting.callback(None)


def _nobody(user_id: int, device_id: str, session_id: int, reason: str) -> None:
    """Before the gateway is there, nobody is connected."""
