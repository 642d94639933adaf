"""What operators set for all nodes, as far as a node has heard; whoever goes by it is told at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Generic, TypeVar

from google.protobuf.message import DecodeError
from twisted.logger import Logger

from imd.admin.settings.model import Document, problems
from imd.bus.port import Bus
from imd.bus.subjects import ADMIN_CONFIG
from imd.config.load import overlaid
from imd.config.section import Section
from imd.pb.bus_pb2 import SettingsChanged

C = TypeVar("C", bound=Section)

#: Told what holds from now on, and by which version of the settings; 0: by the node's own file alone.
Listener = Callable[[C, int], None]


class SettingsSeen(Generic[C]):
    """A stage that takes ``im.admin.config`` and lays it over the node's own configuration.

    A version stands for itself: what it does not name is as in the file again. One that cannot be used is
    told in the log, and the last good one stays. The newest is heard again at every start.

    :param node: by which the bus knows what was heard already, such as ``core-7``.
    :param config: of this role, as in its file.
    """

    _log = Logger()

    def __init__(self, *, bus: Bus, node: str, config: C) -> None:
        self._bus = bus
        self._node = node
        #: What holds where settings say nothing.
        self.file = config
        self._document: Document = {}
        self._listeners: list[Listener[C]] = []
        self.version = 0
        #: What holds now.
        self.config = config

    def on_changed(self, listener: Listener[C]) -> None:
        """Have the listener told of every version from here on."""
        self._listeners.append(listener)

    def take_file(self, config: C) -> None:
        """The node's own file has changed: what settings name still stands above it."""
        self.file, self.config = config, overlaid(config, self._document)
        self._tell()

    async def start(self) -> None:
        self._bus.consume(ADMIN_CONFIG, self._node, self._heard)

    async def stop(self) -> None:
        """The bus forgets its consumers when it stops."""

    async def _heard(self, _: str, payload: bytes) -> None:
        try:
            event = SettingsChanged.FromString(payload)
            document = json.loads(event.document)
        except (DecodeError, ValueError) as error:
            self._refused("settings", [str(error)])
            return
        if event.version <= self.version:
            return
        if reasons := problems(document):
            self._refused(f"settings version {event.version}", reasons)
            return
        self._apply(event.version, document)

    def _refused(self, what: str, reasons: list[str]) -> None:
        self._log.error(
            "{what} cannot be used, version {version} stays in force: {reasons}",
            what=what,
            version=self.version,
            reasons="; ".join(reasons),
        )

    def _apply(self, version: int, document: Document) -> None:
        self.version, self._document = version, document
        self.config = overlaid(self.file, document)
        self._log.info("settings version {version} is in force", version=version)
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            try:
                listener(self.config, self.version)
            except Exception:
                self._log.failure("settings version {version} did not reach all", version=self.version)
