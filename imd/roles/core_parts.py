"""What the core role is put together from, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from imd.bus.audit import AuditLog
from imd.core.explain.ports import Places
from imd.core.explain.record import Kept
from imd.core.gateway.gateway import Gateway
from imd.core.message.inherit import RecentTails
from imd.core.message.ports import Cursors, MessageLog
from imd.core.presence.ports import LastSeen
from imd.kernel.lifecycle import Stage
from imd.ops.metrics.readings import Source
from imd.roles.core_in_force import CoreInForce
from imd.roles.manhole.core import CoreInside
from imd.roles.neighbourhood import Neighbourhood


class CoreStores(NamedTuple):
    """What the role keeps beyond its own life. ``stages`` open the stores and close them."""

    stages: list[tuple[str, Stage]]
    log: MessageLog
    #: The same, asked by age.
    tails: RecentTails
    #: The same, asked by server ids.
    places: Places
    cursors: Cursors
    last_seen: LastSeen
    #: What the node remembers of what it did.
    kept: Kept
    #: What the stores count.
    sources: Sequence[Source]
    #: Each has one write in flight; which one a conversation is in, 0 up to that.
    partitions: int = 1
    partition_of: Callable[[str], int] = lambda _conversation_id: 0


class CoreRole(NamedTuple):
    """What has to be started, and who takes connections.

    The last of ``stages`` is the drain; listeners come after it, and after these what is in ``last_stages``.
    """

    stages: list[tuple[str, Stage]]
    gateway: Gateway
    last_stages: list[tuple[str, Stage]]
    #: None: this node is alone.
    neighbourhood: Neighbourhood | None
    #: Takes what changes of the configuration while the role runs.
    in_force: CoreInForce
    #: What it counts.
    sources: Sequence[Source]
    #: For who looks into it.
    inside: CoreInside
    audit: AuditLog
