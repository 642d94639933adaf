"""Setting and publishing: a version is saved first, and told to all nodes until the bus has taken it.

A process that dies between the two is no harm: whoever starts next tells the newest version again. Nodes take no version
that is not above their own: if one runs a higher one than the store holds, which was restored from a backup then, what
is current is saved again above that.
"""

from __future__ import annotations

from contextlib import suppress

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from imd.admin.settings.board import NodeBoard
from imd.admin.settings.event import to_event
from imd.admin.settings.model import NONE, Author, Settings
from imd.admin.settings.ports import SettingsStore
from imd.bus.port import Bus
from imd.bus.subjects import ADMIN_CONFIG
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.errors import IdempotentConflict, ServerBusy
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import TimeoutError, sleep, with_timeout

RETRY_S = 5.0
#: Whoever changes settings is told that they are not published yet after so long.
PATIENCE_S = 1.0
#: The bus keeps events for a week; a node that comes later must find one.
AGAIN_S = 24 * 3600.0
#: Nodes may be so far ahead of a store that was restored from a backup; what claims more is no node of ours.
MAX_AHEAD = 100_000
#: A node that still runs an older one has missed the event, or the bus has lost it.
AGAIN_WHEN_BEHIND_S = 30.0


class PublishSettings:
    """A stage: from its start on, what is current is told."""

    _log = Logger()

    def __init__(
        self,
        *,
        store: SettingsStore,
        bus: Bus,
        board: NodeBoard,
        clock: Clock,
        wall_clock: WallClock,
        tasks: Tasks,
    ) -> None:
        self._store = store
        self._bus = bus
        self._board = board
        self._clock = clock
        self._wall_clock = wall_clock
        self._tasks = tasks
        #: Saved last; an older one that the bus is still taking meanwhile counts for nothing.
        self._newest = 0
        #: When the bus took the newest version; None: it has not.
        self._told_at_s: float | None = None
        #: How often the bus took one.
        self.published = 0

    async def start(self) -> None:
        self._tasks.spawn("publish settings", self._keep_publishing())

    async def stop(self) -> None:
        """Ended with the background work."""

    @property
    def is_published(self) -> bool:
        """Whether the bus has taken what was saved last."""
        return self._told_at_s is not None

    async def change(self, settings: Settings, *, based_on: int) -> Settings:
        """Save it as the version that follows ``based_on``, and publish it if the bus takes it now.

        :param settings: its version and time are given here.
        :raises IdempotentConflict: that is not the current version any more.
        """
        # Nodes may know higher ones than a store that was restored from yesterday.
        version = max(based_on, min(self._board.highest_version, based_on + MAX_AHEAD)) + 1
        settings = settings._replace(version=version, changed_at_ms=self._wall_clock())
        if not await self._store.save(settings, based_on=based_on):
            current = await self._store.current()
            raise IdempotentConflict(
                f"version {based_on} is not current, {current.version} is: look at that, and decide again",
                field="basedOn",
            )
        self._log.info(
            "settings version {version} saved: {act} by {author}: {comment}",
            version=settings.version,
            act=settings.act,
            author=settings.author.name,
            comment=settings.comment,
        )
        self._newest, self._told_at_s = settings.version, None
        # If the bus is away, the operator need not wait for it.
        with suppress(TimeoutError):
            await with_timeout(self._publish(settings), timeout_s=PATIENCE_S, clock=self._clock)
        return settings

    async def _keep_publishing(self) -> None:
        can_read = True
        while True:
            try:
                await self._look()
                can_read = True
            except ServerBusy as error:
                if can_read:
                    self._log.warn("settings cannot be read: {error}; told once until they can", error=error)
                can_read = False
            await sleep(RETRY_S, clock=self._clock)

    async def _look(self) -> None:
        # In this order: what a node runs was in the store before.
        highest = self._board.highest_version
        current = await self._store.current()
        if NONE.version < current.version < highest <= current.version + MAX_AHEAD:
            current = await self._lift(current, highest)
        if current.version > self._newest:
            # Another im-admin has saved it, and may have died before it told anybody.
            self._newest, self._told_at_s = current.version, None
        if self._is_due():
            await self._publish(current)

    async def _lift(self, current: Settings, highest: int) -> Settings:
        """Save the same again above what a node runs, which would not take it otherwise."""
        lifted = current._replace(
            version=highest + 1,
            comment=f"as version {current.version}: nodes ran {highest}, of which this database knows nothing",
            changed_at_ms=self._wall_clock(),
            author=Author(0, "im-admin"),
            act="lift",
        )
        if not await self._store.save(lifted, based_on=current.version):
            # An operator or another im-admin was quicker.
            return await self._store.current()
        self._log.warn(
            "settings version {version} is saved again as {lifted}: nodes ran version {highest}, which was lost when "
            "the database was restored",
            version=current.version,
            lifted=lifted.version,
            highest=highest,
        )
        return lifted

    def _is_due(self) -> bool:
        if self._told_at_s is None:
            return True
        passed_s = self._clock.seconds() - self._told_at_s
        return passed_s >= AGAIN_S or (
            passed_s >= AGAIN_WHEN_BEHIND_S and self._board.is_anybody_behind(self._newest)
        )

    async def _publish(self, settings: Settings) -> None:
        self._board.publishing(settings.version)
        try:
            if settings.version != NONE.version:
                await self._bus.publish_durable(ADMIN_CONFIG, to_event(settings))
                self.published += 1
        except CancelledError:
            raise
        except Exception as error:
            self._log.warn(
                "settings version {version} could not be published, again in {retry_s:g} s: {error}",
                version=settings.version,
                retry_s=RETRY_S,
                error=error,
            )
        else:
            if settings.version >= self._newest:
                self._newest = settings.version
                self._told_at_s = self._clock.seconds()
