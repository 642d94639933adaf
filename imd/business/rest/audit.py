"""The operation by which operators read who did what."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from imd.business.audit.model import EVENTS_PER_PAGE, Kept, Place, Wanted
from imd.business.audit.ports import AuditEvents
from imd.business.rest.bodies import Milliseconds
from imd.business.rest.operation import Asked, Operation, Parameter
from imd.kernel.errors import PayloadInvalid
from imd.kernel.ids import check_id

_MAX_INT64 = (1 << 63) - 1
#: What an action or a decision may be called: ``message.send``.
_MAX_WORD_LENGTH = 64

_ID = {"type": "string", "pattern": "^[0-9]{1,19}$"}
_TIME = {"type": "integer", "minimum": 0}
_WORD = {"type": "string", "maxLength": _MAX_WORD_LENGTH}
QUERY = (
    Parameter("actor", _ID, "Only what this user did or tried; 0 and left out: whoever it was."),
    Parameter("subject", _ID, "Only what was done to this user."),
    Parameter("conversation", {"type": "string"}, "Only what belongs to this conversation."),
    Parameter("action", _WORD, "Only this action, such as message.send."),
    Parameter("decision", _WORD, "Only this decision: allowed, refused, held, released, revoked or done."),
    Parameter("from", _TIME, "Milliseconds since 1970: nothing earlier."),
    Parameter("to", _TIME, "Milliseconds since 1970: only what is earlier."),
    Parameter("limit", {"type": "integer", "minimum": 1, "maximum": EVENTS_PER_PAGE}, "Events on the page."),
    Parameter("after", {"type": "string"}, "The next of the page before."),
)  # fmt: skip


class AuditEventAnswer(Struct):
    """A decision that was no plain yes, or an act. Ids are "0" and texts empty where there is none."""

    eventId: str
    at: Milliseconds
    node: Annotated[str, Meta(description="Which process tells it, such as core-7.")]
    requestId: str
    actorId: Annotated[
        str,
        Meta(
            description="Who did or tried it; 0: the server; below 1,000,000: an operator (imctl operators list)."
        ),
    ]
    subjectId: Annotated[str, Meta(description="To whom it was done.")]
    conversationId: str
    action: str
    decision: str
    reason: str
    policyVersion: int
    level: Annotated[int, Meta(description="1 low, 2 medium, 3 high.")]
    detail: Annotated[str, Meta(description="JSON of what belongs to this action alone, or empty.")]


class AuditEventsAnswer(Struct):
    """A page, the newest first; ``next`` goes into ``after``, empty: that was all."""

    events: list[AuditEventAnswer]
    next: str


class AuditApi:
    """For operators only."""

    def __init__(self, *, events: AuditEvents) -> None:
        self._events = events

    def operations(self) -> list[Operation]:
        """The one there is."""
        return [
            Operation("GET", "/operator/audit", "auditEvents", "Who did what: refusals, releases, acts",
                      self.find, AuditEventsAnswer, query_parameters=QUERY, operator=True, audit=True),
        ]  # fmt: skip

    async def find(self, asked: Asked) -> AuditEventsAnswer:
        query = asked.query
        wanted = Wanted(
            actor_id=_number(query, "actor"),
            subject_id=_number(query, "subject"),
            conversation_id=_conversation(query),
            action=_word(query, "action"),
            decision=_word(query, "decision"),
            from_ms=_number(query, "from"),
            to_ms=_number(query, "to"),
        )
        limit = _number(query, "limit", EVENTS_PER_PAGE)
        if not 1 <= limit <= EVENTS_PER_PAGE:
            raise PayloadInvalid(f"limit must be 1 to {EVENTS_PER_PAGE}", field="limit")
        found = await self._events.find(wanted, after=_place(query), limit=limit + 1)
        page = found[:limit]
        more = f"{page[-1].at_ms}-{page[-1].id}" if len(found) > limit else ""
        return AuditEventsAnswer([_answer(event) for event in page], more)


def _number(query: dict[str, str], name: str, absent: int = 0) -> int:
    text = query.get(name)
    if text is None:
        return absent
    # isdigit alone would take other scripts' digits, and int() far longer numbers than an id has.
    if not (text.isascii() and text.isdigit() and len(text) <= 19) or int(text) > _MAX_INT64:
        raise PayloadInvalid(f"{name} must be a number", field=name)
    return int(text)


def _conversation(query: dict[str, str]) -> str:
    text = query.get("conversation", "")
    return check_id(text, "conversation") if text else ""


def _word(query: dict[str, str], name: str) -> str:
    text = query.get(name, "")
    if len(text) > _MAX_WORD_LENGTH or not text.isprintable():
        raise PayloadInvalid(f"{name} is at most {_MAX_WORD_LENGTH} characters", field=name)
    return text


def _place(query: dict[str, str]) -> Place | None:
    text = query.get("after", "")
    if not text:
        return None
    at_ms, dash, number = text.partition("-")
    if not dash:
        raise PayloadInvalid("after is not one of ours", field="after")
    return Place(_number({"after": at_ms}, "after"), _number({"after": number}, "after"))


def _answer(event: Kept) -> AuditEventAnswer:
    return AuditEventAnswer(
        eventId=event.event_id,
        at=event.at_ms,
        node=event.node,
        requestId=event.request_id,
        actorId=str(event.actor_id),
        subjectId=str(event.subject_id),
        conversationId=event.conversation_id,
        action=event.action,
        decision=event.decision,
        reason=event.reason,
        policyVersion=event.policy_version,
        level=event.level,
        detail=event.detail,
    )
