"""The dialogues of the one-process server, played in a cluster whose clients are on different nodes."""

from __future__ import annotations

import os

from tests.dialogue import every
from tests.dialogue.house import House
from tests.dialogue.wire import Transport
from tests.live.cluster import ClusterHouse
from tests.live.server import Settings


class ClusterEvery(every.Every):
    """To be played over one transport."""

    def house_of(self, settings: Settings) -> House:
        return ClusterHouse.of(settings)


class ClusterTcpTests(ClusterEvery):
    """Protobuf over TCP."""

    transport = Transport.TCP


class ClusterWebSocketTests(ClusterEvery):
    """JSON over WebSocket."""

    transport = Transport.WEBSOCKET_JSON

    if not os.environ.get("IMD_LONG"):
        skip = "the same conversations between the same nodes again; IMD_LONG=1 plays them"


# Trial would play those without a transport, too.
del ClusterEvery
