"""All dialogues in one class."""

from __future__ import annotations

from tests.dialogue.content import Content
from tests.dialogue.groups import Groups
from tests.dialogue.order import Order
from tests.dialogue.past import Past
from tests.dialogue.people import People
from tests.dialogue.policy import Policy
from tests.dialogue.presence import Presence
from tests.dialogue.recovery import Recovery
from tests.dialogue.sessions import Sessions
from tests.dialogue.talk import Talk


class Every(Talk, Content, Past, Groups, Order, Recovery, Sessions, Presence, People, Policy):
    """To be played over one transport."""
