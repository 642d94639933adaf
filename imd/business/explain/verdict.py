"""Whether the receiver got the message, and if not, why: a pure rule over what was found.

The first of these that holds is told:

1. Nothing is stored under the name: it is held or was turned down by a person, it was refused, or nobody knows of it.
2. The receiver is the sender; never was in the conversation, was not any more, or does not see what was said before
   they came.
3. It was taken back, before or after the receiver had it.
4. Their devices say that they have it.
5. They have not, for the account is frozen, nobody was connected, the queue was dropped, or the client says nothing.

What is not recorded is not guessed: a reason needs a record, and where one is missing that is told.
"""

from __future__ import annotations

from collections.abc import Sequence

from imd.bus.audit import HELD, REFUSED, REVOKED
from imd.business.accounts.model import ACTIVE, DELETED, FROZEN
from imd.business.explain.model import Facts, Outcome, Stay, Verdict
from imd.business.explain.words import at, name_of, summed, told
from imd.business.reviews.model import State
from imd.kernel.errors import Code
from imd.pb.explain_pb2 import (
    FANOUT_FAILED,
    HINTED,
    PUSHED,
    ExplainEvent,
    ExplainNodeAnswer,
    ExplainSession,
)
from imd.pb.message_pb2 import REVOKED as TAKEN_BACK
from imd.pb.message_pb2 import Message

#: A record that has to do with a message is made within so long of it, by clocks that may differ so much.
CLOSE_MS = 5_000
#: Until then a device that does not read is cut off; what comes for it meanwhile is dropped, too.
SHED_LASTS_MS = 35_000
_CODES_THAT_SAY_ENOUGH = (Code.RATE_LIMITED, Code.IDEMPOTENT_CONFLICT)
_SWEEP = "the sweep repairs that within 30 s; if it is longer ago, look at that node's log and the bus at that time"


def judge(facts: Facts) -> Verdict:
    """The verdict."""
    if facts.stored is None:
        return _unknown(facts, "not_answered", "the message store could not be asked")
    message = facts.message
    if message is None:
        return _not_stored(facts)
    return (
        _as_member(facts, message)
        or _as_taken_back(facts, message)
        or _as_told(facts, message)
        or _as_offline(facts, message)
        or _as_online(facts, message)
    )


def _got(facts: Facts, reason: str, text: str, advice: str = "") -> Verdict:
    return Verdict(Outcome.GOT, reason, f"{name_of(facts.receiver)} got it: {text}", advice)


def _not(facts: Facts, reason: str, text: str, advice: str = "") -> Verdict:
    return Verdict(Outcome.NOT, reason, f"{name_of(facts.receiver)} did not get it: {text}", advice)


def _unknown(facts: Facts, reason: str, text: str, advice: str = "") -> Verdict:
    return Verdict(
        Outcome.UNKNOWN, reason, f"Whether {name_of(facts.receiver)} got it is not known: {text}", advice
    )


# Not stored


def _not_stored(facts: Facts) -> Verdict:
    found = _as_review(facts) or _as_refused(facts)
    if found is not None:
        return found
    asked, stored = facts.asked, facts.stored
    assert stored is not None
    if asked.seq:
        text = f"{asked.conversation_id} has no message {asked.seq}; its last one is {stored.lastSeq}"
        return _unknown(facts, "no_such_message", text)
    if asked.server_msg_id:
        return _unknown(
            facts,
            "no_such_message",
            "no message has this id",
            "check the id; with CONVERSATION:SEQ older ones are found, too",
        )
    return _as_summed(facts) or _unknown(
        facts,
        "never_arrived",
        "nothing is stored or recorded under this name, so it never came here",
        "look at the sender's client: was it connected, and was it told FAILED or nothing? "
        "What was refused is recorded for a day",
    )


def _as_review(facts: Facts) -> Verdict | None:
    review = facts.review
    if review is None:
        return None
    number = review.review_id
    if review.state is State.PENDING:
        return _not(
            facts,
            "held_for_review",
            f"it is held for review since {at(review.created_at_ms)} ({review.held.reason})",
            f"decide it: POST /api/v1/operator/reviews/{number}",
        )
    if review.state is State.REFUSED:
        by = review.decided_by or "the server"
        return _not(facts, "review_refused", f"{by} refused it at {at(review.decided_at_ms)}: {review.note}")
    if review.state is State.EXPIRED:
        return _not(facts, "review_expired", f"nobody decided on review {number} in time")
    return _not(facts, "review_approved", "it was approved, and is on its way into the conversation")


def _as_refused(facts: Facts) -> Verdict | None:
    """The last word on it: by permission or content, as the audit has it, or for any other reason, as a node has."""
    refused = [event for event in facts.decisions if event.decision in (REFUSED, HELD)]
    ends = [event for node in facts.nodes for event in node.events if event.what == "refused"]
    last_audit = refused[-1] if refused else None
    last_end = max(ends, key=lambda event: event.at, default=None)
    if last_audit is not None and (last_end is None or last_audit.at_ms + CLOSE_MS >= last_end.at):
        text, advice = told(facts, last_audit.reason)
        at_ms, reason = last_audit.at_ms, last_audit.reason
    elif last_end is not None:
        text, advice = told(facts, last_end.reason, code=last_end.code, said=last_end.reason)
        at_ms, reason = last_end.at, _reason(last_end)
    else:
        return None
    return _not(facts, reason, f"it was refused at {at(at_ms)}, since {text}", advice)


def _as_summed(facts: Facts) -> Verdict | None:
    """It may be one of those of which only the number is known."""
    sums = [event for node in facts.nodes for event in node.events if event.what == "summed"]
    if not sums:
        return None
    last = max(sums, key=lambda event: event.at)
    advice = told(facts, last.reason, code=last.code, said=last.reason)[1] if last.code else ""
    text = f"nothing is stored under this name, but {summed(last, facts)}; it may be one of them"
    return _unknown(facts, "not_kept_singly", text, advice)


def _reason(end: ExplainEvent) -> str:
    """A word: the error's own, or that of its code."""
    if end.code in _CODES_THAT_SAY_ENOUGH or " " in end.reason:
        return Code(end.code).name.lower() if end.code in set(Code) else f"error_{end.code}"
    return end.reason


# Stored


def _as_member(facts: Facts, message: Message) -> Verdict | None:
    receiver_id = facts.receiver.account.user_id
    if message.senderId == receiver_id:
        return _got(facts, "sender", "they sent it themselves")
    if not facts.standing.is_known:
        # A first message that was let through to nobody's knowledge: business knows no such conversation.
        return None
    stays = facts.standing.stays
    stay = stay_at(stays, message.serverTime)
    if stay is None:
        before = [stay for stay in stays if stay.until_ms and stay.until_ms <= message.serverTime]
        after = [stay for stay in stays if stay.since_ms > message.serverTime]
        if after and not after[0].visible_from > message.seq:
            # They came later, and see what was said before.
            return None
        if after:
            text = f"they came in only at {at(after[0].since_ms)}, and this group shows nothing from before"
            return _not(facts, "joined_later", text)
        if before and not _is_told(facts, message):
            return _not(facts, "left_before", _left(facts, before[-1].until_ms))
        if before:
            # By another clock than business has they left a moment later.
            return None
        return _not(facts, "not_member", "they are not in this conversation, and were not when it was sent")
    if stay.visible_from > message.seq:
        text = f"they see this conversation from message {stay.visible_from} on"
        return _not(facts, "joined_later", text)
    sees = any(not one.until_ms and one.visible_from <= message.seq for one in stays)
    if stay.until_ms and not sees and not _is_told(facts, message):
        return _not(
            facts, "left_since", f"{_left(facts, stay.until_ms)}, and no device of theirs had it by then"
        )
    return None


def stay_at(stays: Sequence[Stay], at_ms: int) -> Stay | None:
    """The stay during which this was."""
    for stay in stays:
        if stay.since_ms <= at_ms and (not stay.until_ms or at_ms < stay.until_ms):
            return stay
    return None


def _left(facts: Facts, left_at_ms: int) -> str:
    if facts.standing.dissolved_at_ms and facts.standing.dissolved_at_ms <= left_at_ms:
        return f"the group was dissolved at {at(left_at_ms)}"
    for act in reversed(facts.acts):
        if act.action == "group.kick" and abs(act.at_ms - left_at_ms) <= CLOSE_MS:
            return f"they had been removed from this group at {at(left_at_ms)}, by user {act.actor_id}"
    return f"they had left this group at {at(left_at_ms)}"


def _as_taken_back(facts: Facts, message: Message) -> Verdict | None:
    if message.status != TAKEN_BACK:
        return None
    assert facts.stored is not None
    revoked = [event for event in facts.decisions if event.decision == REVOKED]
    reason = "revoked" if revoked else "recalled"
    before_ms = facts.stored.recall.serverTime or (revoked[-1].at_ms if revoked else facts.now_ms)
    if revoked:
        how = f"the server took it back at {at(before_ms)}, since {told(facts, revoked[-1].reason)[0]}"
    elif facts.stored.HasField("recall"):
        how = f"{_who(facts, facts.stored.recall.senderId)} took it back at {at(before_ms)}"
    else:
        how = "it was taken back"
    if not _is_told(facts, message):
        return _not(facts, reason, how)
    if any(_is_there(session, message.serverTime, before_ms) for session in sessions_of(facts)):
        text = f"but {how}; they were connected before that, and may have seen it"
        return _got(facts, reason, text)
    return _not(facts, reason, f"{how}; their devices have its empty place")


def _who(facts: Facts, user_id: int) -> str:
    for person in (facts.sender, facts.receiver):
        if person is not None and person.account.user_id == user_id:
            return name_of(person)
    return f"user {user_id}" if user_id else "the server"


def _is_told(facts: Facts, message: Message) -> bool:
    assert facts.stored is not None
    return facts.stored.deliveredSeq >= message.seq


def _as_told(facts: Facts, message: Message) -> Verdict | None:
    stored = facts.stored
    assert stored is not None
    if stored.readSeq >= message.seq:
        return _got(facts, "read", f"they have read this conversation up to message {stored.readSeq}")
    if _is_told(facts, message):
        return _got(facts, "delivered", f"a device of theirs has all up to message {stored.deliveredSeq}")
    return None


def sessions_of(facts: Facts) -> list[ExplainSession]:
    """The receiver's sessions at all nodes."""
    return [session for node in facts.nodes for session in node.sessions]


def _is_there(session: ExplainSession, from_ms: int, to_ms: int) -> bool:
    return session.since <= to_ms and (not session.until or session.until >= from_ms)


def _as_offline(facts: Facts, message: Message) -> Verdict | None:
    account = facts.receiver.account
    if account.status != ACTIVE:
        word = {FROZEN: "frozen", DELETED: "deleted"}.get(account.status, "not active")
        reason = "account_frozen" if account.status == FROZEN else "account_deleted"
        text = f"their account is {word} since {at(facts.receiver.since_ms)}: {facts.receiver.reason}"
        thaw = f"thaw it: PUT /api/v1/operator/accounts/{account.user_id}/state"
        advice = thaw if account.status == FROZEN else ""
        return _not(facts, reason, text.rstrip(": "), advice)
    if any(_is_there(session, message.serverTime, facts.now_ms) for session in sessions_of(facts)):
        return None
    if blind := blind_spot(facts, message):
        text = f"no device of theirs has said that it has it; why is not recorded: {blind}"
        return _not(facts, "not_acknowledged", text)
    seen_ms = facts.stored.lastSeen if facts.stored is not None else 0
    seen = f", last seen at {at(seen_ms)}" if seen_ms else ""
    text = f"no device of theirs was connected since it was stored{seen}"
    return _not(facts, "offline", text, "nothing to do: they get it when a device of theirs connects")


def blind_spot(facts: Facts, message: Message) -> str:
    """Why it is not sure that all sessions since then are known; empty: it is."""
    if facts.gaps:
        return "; ".join(facts.gaps)
    if not facts.nodes:
        return "no core node has reported yet"
    for node in facts.nodes:
        if node.eventsSince > message.serverTime:
            return f"core-{node.nodeId} remembers nothing before {at(node.eventsSince)}"
        if node.lost:
            return (
                f"core-{node.nodeId} could not keep {node.lost} records since it started; its log tells why"
            )
        for event in node.events:
            if event.what == "sessions_summed" and event.at >= message.serverTime:
                return f"at core-{node.nodeId} {summed(event, facts)}"
    return ""


def _as_online(facts: Facts, message: Message) -> Verdict:
    """A device was there, and has not said that it has the message."""
    sheds = [
        event
        for node in facts.nodes
        for event in node.events
        if event.what == "shed" and event.at >= message.serverTime - SHED_LASTS_MS
    ]
    if sheds:
        shed = sheds[-1]
        text = (
            f"device {shed.deviceId} read too slowly at {at(shed.at)}: what waited for it was dropped, "
            "and it was told to sync, but has not said that it has the message"
        )
        advice = (
            "their line or client is slow or stopped: it gets the message when it syncs or connects again"
        )
        return _not(facts, "queue_shed", text, advice)
    # What each node did last about it: after a failure comes the sweep.
    if any(node.fanouts and node.fanouts[-1].mode == FANOUT_FAILED for node in facts.nodes):
        return _not(facts, "fanout_failed", "telling the members failed", _SWEEP)
    return _as_silent(facts, message)


def _as_silent(facts: Facts, message: Message) -> Verdict:
    there = [
        (node, session)
        for node in facts.nodes
        for session in node.sessions
        if _is_there(session, message.serverTime, facts.now_ms)
    ]
    live = [(node, session) for node, session in there if not session.until]
    if not live:
        last = max((session for _, session in there), key=lambda session: session.until)
        text = (
            f"device {last.deviceId} was connected until {at(last.until)} ({last.ended}) and did not say that it "
            "has it; no device is connected now"
        )
        return _not(facts, "connection_lost", text, "they get it when a device of theirs connects again")
    node, session = max(live, key=lambda one: one[1].since)
    where = f"device {session.deviceId} is connected to core-{node.nodeId} since {at(session.since)}"
    way = _way(node, session, message)
    if not way:
        return _not(facts, "not_told", f"{where}, which has no record of having told it", _SWEEP)
    assert facts.stored is not None
    advice = "if that is seconds ago, ask again; else its client is stuck: look at its log"
    if not facts.stored.HasField("deliveredSeq"):
        advice = (
            "no device of theirs has ever acknowledged anything here: if their client does not send deliverAck, they "
            "may well have it"
        )
    return _not(facts, "not_acknowledged", f"{where}, {way}, but has not said that it has it", advice)


def _way(node: ExplainNodeAnswer, session: ExplainSession, message: Message) -> str:
    """How the message came to a session, as far as its node remembers; empty: not at all."""
    modes = {fanout.mode for fanout in node.fanouts if fanout.sessions}
    if PUSHED in modes and session.since <= message.serverTime:
        return "was sent it"
    if HINTED in modes:
        return "was told that it is there, and has to pull it"
    if session.since > message.serverTime:
        return "which is after it was stored: its first sync tells it to pull it"
    if node.fanoutsSince > message.serverTime:
        return f"which remembers no fan-outs before {at(node.fanoutsSince)}"
    return ""
