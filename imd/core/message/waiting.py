"""Sends that cannot be admitted yet: their conversation is being looked up, and they wait in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from imd.core.message.live import LiveConversation, LiveConversations
from imd.core.message.revoke import told_of
from imd.core.message.sends import SYSTEM_SENDER_ID, PendingSend, trace_of
from imd.core.permission.decide import not_member
from imd.core.permission.stand_in import Admitted, StandIn, Unanswered
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError, InternalError, ServerBusy
from imd.kernel.tasks import Tasks
from imd.kernel.trace_context import carrying

#: Sends waiting for one conversation; the rest of the node must not pay for it.
MAX_WAITING_PER_CONVERSATION = 1000


#: What becomes of a send: admitted there, or by that membership; refused; or the conversation does not exist.
Verdict = LiveConversation | Admitted | ImError | None


class _Learned:
    """What a look-up has found out, for all who wait for it."""

    def __init__(self, found: LiveConversation | ImError | None) -> None:
        self.found = found
        #: What became of making it, by who asked for that.
        self.opened: dict[int, LiveConversation | ImError | None] = {}


class WaitingSends:
    """By conversation, in the order in which they came. None waits longer for the authority than its conversation
    may; then it is judged in the authority's place.

    :param admit: takes a send whose conversation is known.
    :param refuse: answers one that cannot be admitted.
    """

    _logger = Logger()

    def __init__(
        self,
        *,
        live: LiveConversations,
        stand_in: StandIn,
        admit: Callable[[PendingSend, LiveConversation], None],
        refuse: Callable[[PendingSend, ImError], None],
        tasks: Tasks,
        clock: Clock,
    ) -> None:
        self._live = live
        self._stand_in = stand_in
        self._admit = admit
        self._refuse = refuse
        self._tasks = tasks
        self._clock = clock
        self._waiting: dict[str, deque[PendingSend]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, conversation_id: str) -> bool:
        return conversation_id in self._waiting

    def of(self, conversation_id: str) -> Iterable[PendingSend]:
        """Those of one conversation."""
        return self._waiting.get(conversation_id, ())

    def put(self, send: PendingSend) -> None:
        """Wait behind those of the same conversation, or begin to look it up."""
        conversation_id = send.key.conversation_id
        waiting = self._waiting.get(conversation_id)
        if waiting is None:
            self._waiting[conversation_id] = deque([send])
            self._count += 1
            self._tasks.spawn("look up a conversation", self._look_up(conversation_id))
        elif len(waiting) < MAX_WAITING_PER_CONVERSATION or send.outcome_unknown:
            waiting.append(send)
            self._count += 1
        else:
            send.submitter.failed(send, ServerBusy("too many messages wait here", retry_after_ms=1000))

    async def _look_up(self, conversation_id: str) -> None:
        # Stays in place until it is empty: what is submitted meanwhile queues up behind.
        waiting = self._waiting[conversation_id]
        until_s = self._clock.seconds() + self._stand_in.patience_s(conversation_id)
        learned: _Learned | None = None
        while waiting:
            send = waiting[0]
            verdict: Verdict = self._stand_in.before(send) if learned is None else None
            if verdict is None:
                learned = learned or _Learned(await self._learn(self._ask(send, until_s)))
                verdict = await self._judge(send, learned, until_s)
            if isinstance(verdict, Admitted):
                verdict = await self._learn(self._live.assume(verdict.membership))
            waiting.popleft()
            self._count -= 1
            try:
                if isinstance(verdict, LiveConversation):
                    self._admit(send, verdict)
                else:
                    self._refuse(send, verdict or not_member())
            except Exception:
                self._logger.failure("taking in a message of {id} failed", id=conversation_id)
        del self._waiting[conversation_id]

    async def _ask(self, send: PendingSend, until_s: float) -> LiveConversation | None:
        conversation_id = send.key.conversation_id
        with carrying(trace_of([send])):
            await self._stand_in.ask(conversation_id, until_s=until_s)
            return await self._live.load(conversation_id, sparing=True)

    async def _judge(self, send: PendingSend, learned: _Learned, until_s: float) -> Verdict:
        found, sender_id = learned.found, send.key.sender_id
        if found is None and sender_id == SYSTEM_SENDER_ID and send.revokes is not None:
            return Admitted(told_of(send))
        if found is None and send.peer_user_id:
            if sender_id not in learned.opened:
                learned.opened[sender_id] = await self._learn(self._open(send, until_s))
            found = learned.opened[sender_id]
            if isinstance(found, LiveConversation):
                learned.found = found
        return self._stand_in.after(send) if isinstance(found, Unanswered) else found

    async def _open(self, send: PendingSend, until_s: float) -> LiveConversation | None:
        with carrying(trace_of([send])):
            await self._stand_in.open_direct(send, until_s=until_s)
            return await self._live.load(send.key.conversation_id, sparing=True)

    async def _learn(self, question: Awaitable[LiveConversation | None]) -> LiveConversation | ImError | None:
        """The answer, or why there is none; never raises, for somebody waits for it."""
        try:
            return await question
        except ImError as error:
            return error
        except CancelledError:
            return ServerBusy("the server is going down", retry_after_ms=1000)
        except Exception:
            self._logger.failure("looking up a conversation failed")
            return InternalError("the server failed to look this conversation up")
