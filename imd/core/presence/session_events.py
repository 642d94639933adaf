"""What core nodes tell each other about sessions: how it is said, and who hears it, once and in order."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from google.protobuf.message import DecodeError
from twisted.logger import Logger

from imd.bus.port import Bus
from imd.bus.subjects import PRESENCE_STATUS
from imd.core.nodes.model import Node
from imd.core.nodes.ports import LiveNodes
from imd.core.presence.routes import Route
from imd.kernel.eviction import forget_oldest
from imd.pb.bus_pb2 import SessionEvents

#: Sessions in one message, about 100 B each: far below what the bus takes.
EVENTS_PER_MESSAGE = 500
#: Sessions remembered as ended, so that a late word of their coming does not raise them; 100 B each.
MAX_ENDED = 20_000


class RouteListener:
    """Whoever wants to know about the sessions of other nodes. Never fails, never waits.

    The same may be told several times, which then changes nothing.
    """

    def session_came(self, route: Route) -> None:
        """A session is live at another node; never one that was said to be gone before."""

    def session_gone(self, route: Route, at_ms: int) -> None:
        """It has ended at this time."""

    def node_gone(self, node_id: int) -> None:
        """The node is dead or has started anew: none of the sessions it had is left."""

    def events_missed(self) -> None:
        """The bus has lost something: what is known may be wrong in both directions."""

    def again_asked(self) -> None:
        """Another node may have missed events: it wants to hear of all sessions here again."""


class Change(NamedTuple):
    """A session came (``gone_at_ms`` 0) or went."""

    route: Route
    gone_at_ms: int = 0


def messages(
    me: Node, changes: Sequence[Change], *, unrecorded: bool, again: bool = False
) -> Iterator[bytes]:
    """These changes as SessionEvents; at least one message, which also says how the node is."""
    for start in range(0, len(changes) or 1, EVENTS_PER_MESSAGE):
        said = SessionEvents(
            nodeId=me.node_id, incarnation=me.incarnation, unrecorded=unrecorded, again=again
        )
        for route, gone_at_ms in changes[start : start + EVENTS_PER_MESSAGE]:
            said.events.add(
                userId=route.user_id,
                deviceId=route.device_id,
                sessionId=route.session_id,
                platform=route.platform,
                since=route.since_ms,
                gone=gone_at_ms != 0,
                goneAt=gone_at_ms,
            )
        yield said.SerializeToString()


def with_route(routes: tuple[Route, ...], route: Route) -> tuple[Route, ...]:
    """A user's routes with one more; of two sessions of one device the newer one counts."""
    for known in routes:
        if known.device_id == route.device_id:
            if not route.is_newer_than(known):
                return routes
            return (*(each for each in routes if each is not known), route)
    return (*routes, route)


def without_session(routes: tuple[Route, ...], session_id: int) -> tuple[Route, ...]:
    """A user's routes without this session; the same object if it was not among them."""
    left = tuple(route for route in routes if route.session_id != session_id)
    return left if len(left) < len(routes) else routes


def without_nodes(
    known: dict[int, tuple[Route, ...]], node_ids: Collection[int]
) -> Iterator[tuple[int, tuple[Route, ...]]]:
    """The users in ``known`` who have sessions at these nodes, and their other routes."""
    for user_id, routes in list(known.items()):
        left = tuple(route for route in routes if route.node_id not in node_ids)
        if len(left) < len(routes):
            yield user_id, left


class SessionFeed:
    """A stage that hears the other nodes and tells the listeners, in the order given."""

    _logger = Logger()

    def __init__(self, *, bus: Bus, live: LiveNodes, listeners: Sequence[RouteListener]) -> None:
        self._bus = bus
        self._live = live
        self._listeners = list(listeners)
        self._others: frozenset[int] = frozenset()
        #: The incarnation of each node that is heard, and those that were before.
        self._incarnations: dict[int, str] = {}
        self._past: dict[int, str] = {}
        self._unrecorded: set[int] = set()
        self._ended: dict[int, None] = {}

    def add(self, listener: RouteListener) -> None:
        """One more, after the others."""
        self._listeners.append(listener)

    async def start(self) -> None:
        self._others = self._live.others
        self._live.on_change(self._nodes_changed)
        self._bus.subscribe(PRESENCE_STATUS, self._heard)

    async def stop(self) -> None:
        """The bus forgets its subscribers when it stops."""

    @property
    def unrecorded(self) -> bool:
        """Whether a node is there whose sessions may be missing in the route table."""
        return bool(self._unrecorded)

    def has_ended(self, route: Route) -> bool:
        """Whether this session was said to be gone; what is read from elsewhere may be older."""
        return route.session_id in self._ended

    def missed(self) -> None:
        """The bus has had a gap."""
        for listener in self._listeners:
            listener.events_missed()

    def counts(self) -> dict[str, int]:
        """Sizes, for whoever watches memory."""
        return {"ended": len(self._ended), "heard": len(self._incarnations)}

    async def _heard(self, subject: str, payload: bytes) -> None:
        try:
            said = SessionEvents.FromString(payload)
        except DecodeError:
            self._logger.error("no SessionEvents on {subject}; dropped", subject=subject)
            return
        node_id = said.nodeId
        if node_id == self._live.me.node_id or not self._is_current(node_id, said.incarnation):
            return
        if said.unrecorded:
            self._unrecorded.add(node_id)
        else:
            self._unrecorded.discard(node_id)
        if said.again:
            for listener in self._listeners:
                listener.again_asked()
        for event in said.events:
            route = Route(event.userId, event.deviceId, node_id, event.sessionId, event.platform, event.since)
            self._tell(Change(route, event.goneAt or event.since if event.gone else 0))

    def _tell(self, change: Change) -> None:
        route, gone_at_ms = change
        if gone_at_ms:
            self._ended[route.session_id] = None
            forget_oldest(self._ended, MAX_ENDED)
            for listener in self._listeners:
                listener.session_gone(route, gone_at_ms)
        elif route.session_id not in self._ended:
            for listener in self._listeners:
                listener.session_came(route)

    def _is_current(self, node_id: int, incarnation: str) -> bool:
        known = self._incarnations.get(node_id)
        if incarnation == known:
            return True
        if incarnation == self._past.get(node_id):
            return False
        if known is not None:
            self._past[node_id] = known
            self._lost(node_id)
        self._incarnations[node_id] = incarnation
        return True

    def _nodes_changed(self) -> None:
        before, self._others = self._others, self._live.others
        for node_id in sorted(before - self._others):
            # Its sessions are gone; should it have been but away, it says who it is when it comes back.
            self._incarnations.pop(node_id, None)
            self._lost(node_id)

    def _lost(self, node_id: int) -> None:
        self._unrecorded.discard(node_id)
        for listener in self._listeners:
            listener.node_gone(node_id)
