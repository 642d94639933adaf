"""The story as steps: each of them stands for a record that was found, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator

from imd.bus.audit import HELD, RELEASED, REVOKED
from imd.business.audit.model import Kept
from imd.business.explain.model import Facts, Step
from imd.business.explain.words import name_of, summed
from imd.kernel.ids import snowflake_ms, snowflake_node
from imd.pb.explain_pb2 import FANOUT_FAILED, HANDED_ON, HINTED, ExplainFanout, ExplainNodeAnswer
from imd.pb.message_pb2 import REVOKED as TAKEN_BACK
from imd.pb.message_pb2 import Message, MessageType


def steps_of(facts: Facts) -> list[Step]:
    """All of them, by time; what has no time comes last."""
    steps = [
        *_of_message(facts),
        *(_of_decision(event) for event in facts.decisions),
        *_of_review(facts),
        *_of_standing(facts),
        *(
            Step(act.at_ms, act.node, "membership", f"{act.action} by user {act.actor_id}")
            for act in facts.acts
        ),
        *(step for node in facts.nodes for step in _of_node(node, facts)),
        *_of_receipts(facts),
    ]
    return sorted(steps, key=lambda step: step.at_ms or facts.now_ms + 1)


def _of_message(facts: Facts) -> Iterator[Step]:
    message = facts.message
    if message is None:
        return
    node = f"core-{snowflake_node(message.serverMsgId)}"
    device = f", device {message.senderDeviceId}" if message.senderDeviceId else ""
    kind = MessageType.Name(message.type) if message.type in MessageType.values() else message.type
    text = f"{kind} from {name_of(facts.sender)}{device}, clientMsgId {message.clientMsgId}"
    yield Step(snowflake_ms(message.serverMsgId), node, "admitted", text)
    if not facts.decisions:
        yield Step(
            message.serverTime,
            node,
            "permission",
            "allowed; a plain yes leaves no other trace than the message",
        )
    # It is fanned out as soon as it is durable; without a record of that it is only known when it came in.
    fanned = [fanout.at for each in facts.nodes for fanout in each.fanouts]
    stored_ms = max(message.serverTime, min(fanned, default=0))
    text = f"{message.conversationId}:{message.seq}, server message id {message.serverMsgId}"
    yield Step(stored_ms, "", "stored", text)
    if message.status == TAKEN_BACK and facts.stored is not None:
        recall = facts.stored.recall
        by = f", by {recall.conversationId}:{recall.seq} of user {recall.senderId}" if recall.seq else ""
        yield Step(recall.serverTime, "", "taken_back", f"its content is gone{by}")


def _of_decision(event: Kept) -> Step:
    what = {HELD: "held", RELEASED: "released", REVOKED: "revoked"}.get(event.decision, event.decision)
    detail = _detail(event)
    extra = [f"{key} {detail[key]}" for key in ("verdict", "by", "failed") if detail.get(key)]
    if event.policy_version:
        extra.append(f"policy or membership version {event.policy_version}")
    text = f"{event.action}: {event.decision}, {event.reason}"
    return Step(event.at_ms, event.node, what, text + (f" ({', '.join(extra)})" if extra else ""))


def _detail(event: Kept) -> dict[str, object]:
    try:
        detail = json.loads(event.detail or "{}")
    except ValueError:
        return {}
    return detail if isinstance(detail, dict) else {}


def _of_review(facts: Facts) -> Iterator[Step]:
    review = facts.review
    if review is not None:
        yield Step(
            review.created_at_ms, "business", "review", f"review {review.review_id}: {review.held.reason}"
        )
        if review.decided_at_ms:
            text = f"review {review.review_id}: {review.state.name.lower()} by {review.decided_by or 'the server'}"
            yield Step(review.decided_at_ms, "business", "review", text)


def _of_standing(facts: Facts) -> Iterator[Step]:
    who = name_of(facts.receiver)
    for stay in facts.standing.stays:
        seen = f", sees messages from {stay.visible_from} on" if stay.visible_from else ""
        yield Step(
            stay.since_ms, "business", "membership", f"{who} is in the conversation from here on{seen}"
        )
        if stay.until_ms:
            yield Step(stay.until_ms, "business", "membership", f"{who} is out of the conversation")
    if facts.standing.dissolved_at_ms:
        yield Step(facts.standing.dissolved_at_ms, "business", "membership", "the group was dissolved")


def _of_node(node: ExplainNodeAnswer, facts: Facts) -> Iterator[Step]:
    where = f"core-{node.nodeId}"
    for fanout in node.fanouts:
        yield Step(fanout.at, where, "fan-out", _fanout(fanout))
    for session in node.sessions:
        yield Step(session.since, where, "connected", f"device {session.deviceId}")
        if session.until:
            yield Step(session.until, where, "disconnected", f"device {session.deviceId}: {session.ended}")
    for event in node.events:
        if event.what == "shed":
            text = (
                f"device {event.deviceId} read too slowly; what waited was dropped, and it was told to sync"
            )
        elif event.what == "repeated":
            text = "sent again, and answered with the first result"
        elif event.what in ("summed", "sessions_summed"):
            text = summed(event, facts)
        elif any(event.reason == one.reason and one.node == where for one in facts.decisions):
            # Told with more about it by the audit.
            continue
        else:
            text = f"answered with error {event.code}: {event.reason}"
        yield Step(event.at, where, event.what, text)


def _fanout(fanout: ExplainFanout) -> str:
    seqs = f"messages {fanout.firstSeq} to {fanout.lastSeq}" if fanout.firstSeq < fanout.lastSeq else "alone"
    if fanout.mode == HANDED_ON:
        named = ", ".join(f"core-{node_id}" for node_id in fanout.nodeIds)
        more = (
            f" and {fanout.nodeCount - len(fanout.nodeIds)} more"
            if fanout.nodeCount > len(fanout.nodeIds)
            else ""
        )
        return f"handed on to {named}{more} ({seqs})"
    if fanout.mode == FANOUT_FAILED:
        return f"failed ({seqs}); the sweep repairs it"
    way = "told that there is something, to be pulled" if fanout.mode == HINTED else "pushed"
    return f"{way}: {fanout.sessions} session(s) of its members here, the sender's counted ({seqs})"


def _of_receipts(facts: Facts) -> Iterator[Step]:
    stored, message = facts.stored, facts.message
    if stored is None or message is None:
        return
    who = name_of(facts.receiver)
    if not stored.HasField("deliveredSeq"):
        yield Step(
            0, "", "receipts", f"no device of {who} has ever acknowledged anything in this conversation"
        )
        return
    yield Step(
        0,
        "",
        "delivered",
        f"{who} has all up to message {stored.deliveredSeq} ({_is(stored.deliveredSeq, message)})",
    )
    yield Step(
        0, "", "read", f"{who} has read up to message {stored.readSeq} ({_is(stored.readSeq, message)})"
    )


def _is(seq: int, message: Message) -> str:
    return "this one, too" if seq >= message.seq else "not this one"
