"""All dialogues over all transports.

Trial takes every TestCase that it finds in here by name; so the dialogues themselves are named by
their modules.
"""

from __future__ import annotations

from tests.dialogue import every
from tests.dialogue.wire import Transport


class TcpTests(every.Every):
    """Protobuf over TCP."""

    transport = Transport.TCP


class TlsTests(every.Every):
    """Protobuf over TLS."""

    transport = Transport.TLS


class WebSocketTests(every.Every):
    """Protobuf over WebSocket."""

    transport = Transport.WEBSOCKET


class WebSocketJsonTests(every.Every):
    """JSON over WebSocket."""

    transport = Transport.WEBSOCKET_JSON
