"""The operation by which operators ask what became of a message."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from imd.business.explain.explain import ExplainMessage
from imd.business.explain.model import Story
from imd.business.rest.bodies import Milliseconds
from imd.business.rest.operation import Asked, Operation, Parameter
from imd.kernel.errors import PayloadInvalid

_MAX_LENGTH = 200
_TEXT = {"type": "string", "minLength": 1, "maxLength": _MAX_LENGTH}
QUERY = (
    Parameter("message", _TEXT,
              "A server message id, CONVERSATION:SEQ, or CONVERSATION/SENDER/CLIENT_MSG_ID."),
    Parameter("user", _TEXT, "Who should have got it: an id or a handle."),
)  # fmt: skip


class ExplainStep(Struct):
    """Something that is recorded; ``at`` 0: without a time."""

    at: Milliseconds
    where: Annotated[str, Meta(description="Which process tells it, such as core-7, or empty.")]
    what: str
    text: str


class ExplainAnswer(Struct):
    """What became of a message for one receiver. Its content is not shown."""

    got: Annotated[Literal["yes", "no", "unknown"], Meta(description="Whether the receiver got it.")]
    reason: Annotated[str, Meta(description="A word for programs, see docs/explain.rst.")]
    verdict: str
    advice: Annotated[str, Meta(description="What to do about it, or empty.")]
    userId: str
    conversationId: str
    seq: int
    serverMsgId: str
    senderId: str
    clientMsgId: str
    steps: list[ExplainStep]
    gaps: Annotated[list[str], Meta(description="Who could not be asked, or remembers too little.")]


class ExplainApi:
    """For operators only."""

    def __init__(self, *, explain: ExplainMessage) -> None:
        self._explain = explain

    def operations(self) -> list[Operation]:
        """The one there is."""
        return [
            Operation("GET", "/operator/explain", "explainMessage", "What became of a message for one receiver",
                      self.explain, ExplainAnswer, query_parameters=QUERY, operator=True),
        ]  # fmt: skip

    async def explain(self, asked: Asked) -> ExplainAnswer:
        story = await self._explain(_text(asked, "message"), _text(asked, "user"), asking=asked.operator)
        return _answer(story)


def _text(asked: Asked, name: str) -> str:
    text = asked.query.get(name, "")
    if not 1 <= len(text) <= _MAX_LENGTH or not text.isprintable():
        raise PayloadInvalid(f"{name} must be 1 to {_MAX_LENGTH} characters", field=name)
    return text


def _answer(story: Story) -> ExplainAnswer:
    facts, verdict = story.facts, story.verdict
    asked, message = facts.asked, facts.message
    return ExplainAnswer(
        got=verdict.outcome.value,
        reason=verdict.reason,
        verdict=verdict.text,
        advice=verdict.advice,
        userId=str(facts.receiver.account.user_id),
        conversationId=message.conversationId if message is not None else asked.conversation_id,
        seq=message.seq if message is not None else asked.seq,
        serverMsgId=str(message.serverMsgId if message is not None else asked.server_msg_id),
        senderId=str(message.senderId if message is not None else asked.sender_id),
        clientMsgId=message.clientMsgId if message is not None else asked.client_msg_id,
        steps=[ExplainStep(step.at_ms, step.where, step.what, step.text) for step in story.steps],
        gaps=list(facts.gaps),
    )
