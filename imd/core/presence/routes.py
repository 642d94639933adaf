"""Routes: which session of which user is connected to which node (spec 7.1), and where that is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class Route(NamedTuple):
    """One live session of a user, somewhere."""

    user_id: int
    device_id: str
    node_id: int
    session_id: int
    platform: str
    since_ms: int

    def is_newer_than(self, other: Route) -> bool:
        """Of two sessions of one device, the one that stays. All nodes judge alike (spec 7.5)."""
        return (self.since_ms, self.session_id) > (other.since_ms, other.session_id)


class Found(NamedTuple):
    """Routes by user; users without one are left out.

    ``complete`` is False while the table may have forgotten somebody: it is new, or has lost its
    memory, and not every node has had the time to register its sessions again.
    """

    routes: Mapping[int, Sequence[Route]]
    complete: bool


class RoutePage(NamedTuple):
    """Some of a node's routes; ``after`` asks for the next ones, "" was the last page."""

    routes: Sequence[Route]
    after: str


class RouteTable(Protocol):
    """The routes of all nodes, each for ``route_ttl_s`` unless it is put again.

    Every method raises ``ServerBusy`` when the table cannot be asked in time; what was put may
    then be there or not, which a later ``put`` or ``remove`` of the same repairs.
    """

    async def put(self, routes: Sequence[Route]) -> Found:
        """Record these, newer ones in place of older ones of the same device, never the other way; all
        routes of their users now. The same again makes it live on.

        Atomic for each few hundred of them.
        """
        ...

    async def remove(self, routes: Sequence[Route]) -> None:
        """Forget these sessions; another session of the same device stays."""
        ...

    async def of_users(self, user_ids: Sequence[int]) -> Found:
        """Where these users are connected."""
        ...

    async def of_node(self, node_id: int, after: str = "") -> RoutePage:
        """A page of about 500 of a node's routes, for the audit, and for those of a node that died.

        A route that is there all the while is on exactly one page; one that comes or goes may be on none.
        """
        ...

    async def generation(self) -> str:
        """Names this life of the table; another one than before: it has lost its memory, put all again."""
        ...
