"""Whom the story is gathered from."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Protocol

from imd.business.explain.model import MessageName, Person, Standing
from imd.business.reviews.model import Review
from imd.pb.explain_pb2 import ExplainNodeAnswer, ExplainNodeQuery, ExplainStoredAnswer


class Core(Protocol):
    """What core can tell. Both raise ``ServerBusy`` when nobody answers."""

    async def stored(self, name: MessageName, receiver_id: int) -> ExplainStoredAnswer: ...

    async def remembered(self, node_id: int, query: ExplainNodeQuery) -> ExplainNodeAnswer: ...


class KnownNodes(Protocol):
    """Core nodes that were heard of lately, gone ones too."""

    def node_ids(self) -> Collection[int]: ...


class Backgrounds(Protocol):
    """What business keeps about people and conversations. All raise ``ServerBusy``."""

    async def person(self, name: str) -> Person | None:
        """By id or handle, whatever the state of the account."""
        ...

    async def standing(self, conversation_id: str, receiver_id: int, sender_id: int) -> Standing: ...

    async def review(self, conversation_id: str, sender_id: int, client_msg_id: str) -> Review | None: ...


class Send(NamedTuple):
    """The idempotency key, as far as it is known."""

    conversation_id: str
    sender_id: int
    client_msg_id: str
