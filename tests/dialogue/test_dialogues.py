"""All dialogues over all transports."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.dialogue.content import Content
from tests.dialogue.groups import Groups
from tests.dialogue.past import Past
from tests.dialogue.presence import Presence
from tests.dialogue.recovery import Recovery
from tests.dialogue.sessions import Sessions
from tests.dialogue.talk import Talk
from tests.dialogue.wire import Transport

_TIMEOUT_S = 90


class Dialogues(Talk, Content, Past, Groups, Recovery, Sessions, Presence):
    """All of them, whatever the transport."""


class TcpTests(Dialogues, TestCase):
    """Protobuf over TCP."""

    transport = Transport.TCP
    timeout = _TIMEOUT_S


class TlsTests(Dialogues, TestCase):
    """Protobuf over TLS."""

    transport = Transport.TLS
    timeout = _TIMEOUT_S


class WebSocketTests(Dialogues, TestCase):
    """Protobuf over WebSocket."""

    transport = Transport.WEBSOCKET
    timeout = _TIMEOUT_S


class WebSocketJsonTests(Dialogues, TestCase):
    """JSON over WebSocket."""

    transport = Transport.WEBSOCKET_JSON
    timeout = _TIMEOUT_S
