"""What operators set for all nodes, as far as a node has heard; whoever goes by it is told at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from twisted.logger import Logger

from imd.admin.settings.event import Unusable, from_event, version_of
from imd.admin.settings.model import NONE, Settings, conflicts_within
from imd.bus.port import Bus
from imd.bus.subjects import ADMIN_CONFIG
from imd.config.gray import Target
from imd.config.load import ConfigError, overlaid
from imd.config.section import Section
from imd.kernel.clocks import WallClock
from imd.roles.settings_kept import SettingsKept

C = TypeVar("C", bound=Section)

#: Told what holds from now on, and by which version of the settings; 0: by the node's own file alone.
Listener = Callable[[C, int], None]
#: Told, before the others, what the users of a gray release have instead; None: nobody has anything else.
GrayListener = Callable[[C | None, Target | None], None]
#: What of a configuration cannot be used here, by whoever knows more than types and ranges.
Check = Callable[[C], Sequence[str]]


class Refused(NamedTuple):
    """A version that was not taken."""

    version: int
    reasons: Sequence[str]


class SettingsSeen(Generic[C]):
    """A stage that takes ``im.admin.config`` and lays it over the node's own configuration.

    A version stands for itself: what it does not name is as in the file again. One that cannot be used is
    told in the log and to im-admin, and the last good one stays. That one holds from the start, by what was kept;
    the newest is heard again at every start.

    :param node: by which the bus knows what was heard already, such as ``core-7``.
    :param config: of this role, as in its file.
    :param kept: the last good version, over a restart.
    :param zone: where the node is, for gray releases.
    """

    _log = Logger()

    def __init__(
        self, *, bus: Bus, node: str, config: C, kept: SettingsKept, wall_clock: WallClock, zone: str = ""
    ) -> None:
        self._bus = bus
        self._node = node
        #: What holds where settings say nothing.
        self.file = config
        self._settings = NONE
        self._kept = kept
        self._wall_clock = wall_clock
        self._zone = zone
        self._listeners: list[Listener[C]] = []
        self._gray_listeners: list[GrayListener[C]] = []
        self._checks: list[Check[C]] = []
        self.version = 0
        #: When it came into force, milliseconds since 1970; 0: never.
        self.applied_at_ms = 0
        #: The gray release that is known here, also if nobody here has it; 0: none.
        self.gray_id = 0
        self.refused: Refused | None = None
        #: How many could not be used, ever.
        self.refusals = 0
        #: What holds now.
        self.config = config
        #: Called when any of these changed.
        self.on_news: Callable[[], None] = lambda: None

    def on_changed(self, listener: Listener[C]) -> None:
        """Have the listener told of every version from here on."""
        self._listeners.append(listener)

    def on_gray(self, listener: GrayListener[C]) -> None:
        """The same for what only some users have."""
        self._gray_listeners.append(listener)

    def on_check(self, check: Check[C]) -> None:
        """Have it asked before a version is taken."""
        self._checks.append(check)

    def take_file(self, config: C) -> None:
        """The node's own file has changed: what settings name still stands above it.

        :raises ConfigError: the two do not go together; all is as it was.
        """
        before, self.file = self.file, config
        try:
            merged, some = self._laid_over(self._settings)
        except Unusable as error:
            self.file = before
            raise ConfigError(
                f"the file together with settings version {self.version}", error.reasons
            ) from None
        self._apply(self._settings, merged, some)

    async def start(self) -> None:
        """What was kept holds when this returns; what is newer comes in a moment."""
        payload = self._kept.read()
        if payload is not None:
            self._take(payload)
        self._bus.consume(ADMIN_CONFIG, self._node, self._heard)

    async def stop(self) -> None:
        """The bus forgets its consumers when it stops."""
        await self._kept.settled()

    async def _heard(self, _: str, payload: bytes) -> None:
        version = version_of(payload)
        if 0 < version <= self.version:
            if self._is_other(payload):
                reason = (
                    f"version {self.version} is in force, and only a higher one is taken: im-admin, whose database "
                    "was restored, saves it again above that in a moment"
                )
                self._refuse(Refused(version, [reason]))
                self._news()
            return
        if self._take(payload):
            self._kept.keep(payload, version, told=self._news)
        self._news()

    def _is_other(self, payload: bytes) -> bool:
        """Whether a version that is not above this one is none of its forerunners: its database was restored."""
        try:
            heard = from_event(payload)
        except Unusable:
            return False
        own = self._settings
        if heard.version == own.version:
            return (heard.document, heard.gray) != (own.document, own.gray)
        return heard.changed_at_ms > own.changed_at_ms

    def _take(self, payload: bytes) -> bool:
        """Whether it is in force now."""
        try:
            settings = from_event(payload)
            config, some = self._laid_over(settings)
        except Unusable as error:
            self._refuse(Refused(error.version, error.reasons))
            return False
        self._settings = settings
        self._apply(settings, config, some)
        self.refused, self.applied_at_ms = None, self._wall_clock()
        self._log.info("settings version {version} is in force", version=self.version)
        return True

    def _laid_over(self, settings: Settings) -> tuple[C, C | None]:
        """What holds here, and for the users of a gray release.

        :raises Unusable: together with this node's file it says what cannot be.
        """
        config, some, gray = overlaid(self.file, settings.document), None, settings.gray
        if gray is not None and gray.target.is_in_zone(self._zone):
            with_gray = overlaid(config, gray.document)
            if gray.target.is_by_user:
                some = with_gray
            else:
                config = with_gray
        reasons = [*self._wrong(config), *(self._wrong(some) if some is not None else ())]
        if reasons:
            raise Unusable(settings.version, reasons)
        return config, some

    def _wrong(self, config: C) -> list[str]:
        reasons = list(conflicts_within(config))
        return reasons or [reason for check in self._checks for reason in check(config)]

    def _refuse(self, refused: Refused) -> None:
        self.refused = refused
        self.refusals += 1
        self._log.error(
            "settings version {refused} cannot be used, version {version} stays in force: {reasons}",
            refused=refused.version or "?",
            version=self.version,
            reasons="; ".join(refused.reasons),
        )

    def _apply(self, settings: Settings, config: C, some: C | None) -> None:
        version, gray = settings.version, settings.gray
        self.version, self.config = version, config
        self.gray_id = gray.id if gray is not None else 0
        target = gray.target if gray is not None and some is not None else None
        tellings: list[Callable[[], None]] = [
            *(partial(listener, some, target) for listener in self._gray_listeners),
            *(partial(listener, config, version) for listener in self._listeners),
        ]
        for tell in tellings:
            try:
                tell()
            except Exception:
                self._log.failure("settings version {version} did not reach all", version=version)

    def _news(self) -> None:
        self.on_news()
