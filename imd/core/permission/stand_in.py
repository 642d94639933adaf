"""Decides in place of the authority while it is slow or gone: by what was known last, and the matrix."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.core.directory import CONTROL, MEMBER, P2P, Directory, Membership, Speaker
from imd.core.message.sends import SYSTEM_SENDER_ID, PendingSend
from imd.core.permission.channel import Channel
from imd.core.permission.decide import refusal
from imd.core.permission.policy import (
    deadline_s,
    decision_in,
    is_released,
    rate_of,
    row_of,
    scene_of,
    unanswered,
)
from imd.core.permission.release import Releases
from imd.core.permission.snapshots import MembershipCache
from imd.core.permission.values import Decision, MessageKind, PolicyValues, Row
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError, ServerBusy
from imd.kernel.ids import direct_conversation_id
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import TimeoutError, patiently

#: Whoever is refused tries again in so long, unless it is known to take longer.
_RETRY_AFTER_MS = 1_000

T = TypeVar("T")


class Admitted(NamedTuple):
    """Go on by this membership; the send bears its mark, if it is let through unjudged."""

    membership: Membership


class Unanswered(ServerBusy):
    """The authority was asked, or should have been, and said nothing in time."""


class StandIn:
    """What the degraded path decides.

    :param may_be_restricted: whether a user may be muted or refused in a conversation of which nothing else is
        known; in doubt True.
    :ivar values: replaced whole while the server runs.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        members: MembershipCache,
        directory: Directory,
        channel: Channel,
        releases: Releases,
        may_be_restricted: Callable[[str, int], bool],
        clock: Clock,
        tasks: Tasks,
        values: PolicyValues,
    ) -> None:
        self._members = members
        self._directory = directory
        self._channel = channel
        self._releases = releases
        self._may_be_restricted = may_be_restricted
        self._clock = clock
        self._tasks = tasks
        self.values = values
        #: Of questions to the authority; kept up to date by whoever watches the channel.
        self.failed_share = 0.0

    def patience_s(self, conversation_id: str) -> float:
        """How long a message of this conversation waits for the authority."""
        if self.values.shadow:
            return self.values.channel.timed_out_above_s
        return deadline_s(self._members.last_known(conversation_id), self.values.deadlines)

    async def ask(self, conversation_id: str, *, until_s: float) -> None:
        """Returns when what is true of the conversation is known, or that it does not exist.

        :raises Unanswered: nobody could say until then.
        """
        await self._within(self._members.get(conversation_id, sparing=True), until_s)

    async def open_direct(self, send: PendingSend, *, until_s: float) -> None:
        """Have the 1:1 conversation made that the send is for.

        :raises Forbidden: there is no such peer, or it may not be written to.
        :raises Unanswered: nobody could say until then.
        """
        speaker = Speaker(send.key.sender_id, send.ticket)
        opening = self._directory.open_direct(speaker, send.peer_user_id)
        conversation_id = await self._within(opening, until_s)
        # Not only forgotten: an answer that is under way may be older than the conversation.
        self._members.invalidate(conversation_id, 0)
        await self.ask(conversation_id, until_s=until_s)

    async def _within(self, question: Coroutine[Deferred[Any], Any, T], until_s: float) -> T:
        try:
            return await patiently(
                question, timeout_s=max(0.0, until_s - self._clock.seconds()), clock=self._clock
            )
        except (ServerBusy, TimeoutError) as error:
            raise Unanswered("the directory does not answer", retry_after_ms=_RETRY_AFTER_MS) from error

    def before(self, send: PendingSend) -> Admitted | ImError | None:
        """What is done with a send without asking; None: ask."""
        if self.values.shadow:
            return None
        known = self._members.last_known(send.key.conversation_id)
        if known is None:
            return None
        row = self._row(send, known)
        decision = decision_in(row, self._channel.level(self._clock.seconds()))
        if decision is Decision.CACHE:
            # Whether the authority answers again is found out by asking, though nobody waits for it.
            self._tasks.spawn("look a conversation up again", self._refresh(send.key.conversation_id))
            return self._release(send, known, row, decision)
        return None

    def after(self, send: PendingSend) -> Admitted | ImError:
        """What is done with a send for which the authority was asked in vain."""
        known = self._members.last_known(send.key.conversation_id) or self._derived(send)
        if known is None:
            return self._refuse(send, None, "nothing is known of this conversation")
        row = self._row(send, known)
        decision = unanswered(row)
        if self.values.shadow:
            self._releases.shadowed(send, row, decision, self.values.version)
            return Unanswered("the directory does not answer", retry_after_ms=_RETRY_AFTER_MS)
        if decision is Decision.RELEASE:
            return self._release(send, known, row, decision)
        return self._refuse(send, row, "this cannot be checked now")

    def rate_of(self, membership: Membership) -> float:
        """Of its rate, what a conversation gets now."""
        if not self.failed_share or self.values.shadow:
            return 1.0
        return rate_of(self.values, membership, self.failed_share)

    def _release(
        self, send: PendingSend, known: Membership, row: Row, decision: Decision
    ) -> Admitted | ImError:
        values, sender_id = self.values, send.key.sender_id
        if sender_id != SYSTEM_SENDER_ID:
            if refusal(known, sender_id, send.right, send.server_time_ms) is not None:
                # That much is known: refused like any other.
                return Admitted(known)
            scene = scene_of(known, values.deadlines)
            if not is_released(values.gray, scene, sender_id, level=send.level):
                return self._refuse(send, row, "this cannot be checked now")
        if not self._releases.has_room:
            return self._refuse(send, row, "this cannot be recorded now")
        self._releases.release(send, row, decision, values.version)
        return Admitted(known)

    def _refuse(self, send: PendingSend, row: Row | None, message: str) -> ServerBusy:
        self._releases.refused(send, row, self.values.version)
        wait_ms = round(self._channel.rests_s(self._clock.seconds()) * 1000)
        return ServerBusy(message, retry_after_ms=max(_RETRY_AFTER_MS, wait_ms), reason="degraded")

    def _row(self, send: PendingSend, known: Membership) -> Row:
        return row_of(
            self.values, known, message_kind(send), by_system=send.key.sender_id == SYSTEM_SENDER_ID
        )

    def _derived(self, send: PendingSend) -> Membership | None:
        """A 1:1 conversation of which nothing is known is still that of these two: its id says so."""
        conversation_id, sender_id, _ = send.key
        peer_id = send.peer_user_id
        if not peer_id or direct_conversation_id(sender_id, peer_id) != conversation_id:
            return None
        if self._may_be_restricted(conversation_id, sender_id):
            return None
        return Membership(conversation_id, P2P, 0, {sender_id: MEMBER, peer_id: MEMBER})

    async def _refresh(self, conversation_id: str) -> None:
        try:
            await self._members.get(conversation_id, sparing=True)
        except CancelledError:
            raise
        except ServerBusy:
            # Noted by those who ask; nobody waits for this.
            return


def message_kind(send: PendingSend) -> MessageKind:
    """Which rows of the matrix a send is in."""
    if send.revokes is not None or send.right & CONTROL:
        return MessageKind.CONTROL
    return MessageKind.MEDIA if send.is_media else MessageKind.TEXT
