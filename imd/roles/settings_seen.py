"""What operators set for all nodes, as far as a node has heard."""

from __future__ import annotations

from twisted.logger import Logger

from imd.bus.port import Bus
from imd.bus.subjects import ADMIN_CONFIG
from imd.pb.bus_pb2 import SettingsChanged


class SettingsSeen:
    """A stage that notes the newest version of ``im.admin.config``; nothing acts on it yet.

    :param node: by which the bus knows what was heard already, such as ``core-7``.
    """

    _log = Logger()

    def __init__(self, *, bus: Bus, node: str) -> None:
        self._bus = bus
        self._node = node
        self.version = 0

    async def start(self) -> None:
        self._bus.consume(ADMIN_CONFIG, self._node, self._heard)

    async def stop(self) -> None:
        """The bus forgets its consumers when it stops."""

    async def _heard(self, _: str, payload: bytes) -> None:
        event = SettingsChanged.FromString(payload)
        if event.version > self.version:
            self.version = event.version
            self._log.info("settings version {version} was published", version=event.version)
