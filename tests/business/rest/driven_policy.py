"""The operations about reviews and dead events, as the test of the OpenAPI document drives them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert

from imd.business.reviews.model import Held
from imd.business.reviews.sql import SqlReviews
from imd.business.tables.policy import outbox
from imd.business.webhooks.model import EventState
from imd.business.webhooks.outbox import Outbox
from imd.pb.message_pb2 import TEXT, SendMessageReq
from tests.business.world import OPERATOR_TOKEN, World


def held(name: str, *, sender_id: int = 7, conversation_id: str = "c") -> Held:
    """A message to be held."""
    request = SendMessageReq(
        conversationId=conversation_id, clientMsgId=name, type=TEXT, textContent="what the heck"
    )
    return Held(conversation_id, sender_id, "phone", name, request.SerializeToString(), b"0" * 16, "word")


def put_dead(world: World, event_id: str) -> None:
    """An event that was given up."""
    row = {
        "event_id": event_id,
        "order_key": "c",
        "position": 0,
        "kind": "message.stored",
        "payload": "{}",
        "state": EventState.DEAD,
        "tries": 12,
        "last_error": "answered 500",
        "created_at_ms": 1,
        "settled_at_ms": world.now_ms(),
    }
    world.run(world.database.write(lambda connection: connection.execute(insert(outbox), row) and None))


def drive_policy(test: Any) -> None:
    """``test`` is the ``Described`` of ``test_openapi``."""
    world: World = test.world
    reviews = SqlReviews(world.database, outbox=Outbox(kinds=()))
    for number, name in enumerate("ab", 1):
        world.run(reviews.hold(number, held(name), world.now_ms()))
    token = OPERATOR_TOKEN
    test.drive("GET", "/operator/reviews", token=token, query="?state=pending&limit=1")
    one = "/operator/reviews/{id}"
    test.drive("GET", one, token=token, id="1")
    test.drive("POST", one, {"decision": "approve", "note": "fine", "by": "Ruth"}, token=token, id="1")
    test.drive("POST", one, {"decision": "refuse"}, token=token, id="2")
    dead = "/operator/webhooks/dead"
    for event_id in ("x", "y"):
        put_dead(world, event_id)
    found = test.drive("GET", dead, token=token, query="?limit=1").json
    test.drive("POST", dead + "/{id}/replay", token=token, id=found["events"][0]["id"])
    test.drive("POST", dead + "/replay", token=token)
