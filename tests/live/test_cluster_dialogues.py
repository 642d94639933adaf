"""The dialogues of the one-process server, played in a cluster whose clients are on different nodes."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

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


class SecretsTests(SynchronousTestCase):
    """What the nodes have said, at debug level, while all that was played; trial comes to it last."""

    def test_nothing_is_found(self) -> None:
        """No log holds a password of an engine, a key or token of the cluster, a token of a person or a hash."""
        houses = ClusterHouse.opened() or [ClusterHouse.of({})]
        for house in houses:
            planted = {name: secret for name, secret in house.secrets.items() if len(secret) >= 16}
            self.assertGreaterEqual(len(planted), 6, planted.keys())
            found = [
                f"{what}: {line[:300]}"
                for line in house.log.splitlines()
                for what, secret in [*planted.items(), ("a token", "eyJ"), ("a hash", "$argon2")]
                if secret in line
            ]
            self.assertEqual(found, [])
            self.assertIn(" debug ", house.log)


# Trial would play those without a transport, too.
del ClusterEvery
