"""Saying FAILED: it is proof that a send is not stored, so of what may be stored the log is asked first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from imd.core.message.model import StoredKey
from imd.core.message.ports import MessageLog
from imd.core.message.sends import PendingSend
from imd.kernel.clocks import Clock
from imd.kernel.errors import IdempotentConflict, ImError, ServerBusy
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep

#: Until the store is asked again about a send that is refused and may be stored.
ASK_AGAIN_S = 5.0
#: From the word that no other node holds such a send to the last look: what one that is gone began to write
#: has had its four tries by then.
LAST_LOOK_S = 30.0
#: Looks under way for sends that are refused by the rules of their conversation, about 2 KB each.
MAX_LOOKS = 1_000


class Refusals:
    """Refuses sends.

    Somebody who is in a conversation and may not write there now may have written before, and sends
    that again when in doubt: a message that is stored is found, and not called FAILED. Who is not
    in it is not worth a look. What another node has taken, where it was not refused, is DELAYED
    until that node has stored it, or cannot any more.

    :param is_held: whether the node that has a send too may store it yet; None: there are no others.
    """

    def __init__(
        self,
        *,
        logs: Sequence[MessageLog],
        partition_of: Callable[[str], int],
        tasks: Tasks,
        clock: Clock,
        is_held: Callable[[PendingSend], Awaitable[bool]] | None = None,
    ) -> None:
        self._is_held = is_held
        self._logs = logs
        self._partition_of = partition_of
        self._tasks = tasks
        self._clock = clock
        #: Sends that are being looked for.
        self.looking = 0

    def refuse(self, send: PendingSend, error: ImError) -> None:
        """Answer the send, now or after a look at the log; never raises."""
        if send.outcome_unknown or error.reason not in ("", "not_member"):
            if self.looking >= MAX_LOOKS and not send.outcome_unknown:
                error = ServerBusy("the server is busy", retry_after_ms=1000)
            else:
                self.looking += 1
                self._tasks.spawn("look before refusing", self._refuse_if_absent(send, error))
                return
        send.submitter.failed(send, error)

    async def _refuse_if_absent(self, send: PendingSend, error: ImError) -> None:
        try:
            stored = await self._look(send)
            while stored is None and send.taken_by is not None:
                self._delay(send)
                if self._is_held is not None and await self._is_held(send):
                    await sleep(ASK_AGAIN_S, clock=self._clock)
                else:
                    send.taken_by = None
                    await sleep(LAST_LOOK_S, clock=self._clock)
                stored = await self._look(send)
        finally:
            self.looking -= 1
        if stored is not None:
            answer_known(send, stored)
        else:
            send.submitter.failed(send, error)

    async def _look(self, send: PendingSend) -> StoredKey | None:
        """What the log holds under its key, as soon as that can be told."""
        conversation_id, sender_id, client_msg_id = send.key
        log = self._logs[self._partition_of(conversation_id)]
        while True:
            try:
                return (await log.find(conversation_id, sender_id, [client_msg_id])).get(client_msg_id)
            except ImError:
                self._delay(send)
                await sleep(ASK_AGAIN_S, clock=self._clock)

    def _delay(self, send: PendingSend) -> None:
        if not send.told_delayed:
            send.told_delayed = True
            send.submitter.delayed(send)


def answer_known(send: PendingSend, stored: StoredKey) -> None:
    """The first result again, if it is the same message."""
    if stored.content_hash != send.content_hash:
        send.submitter.failed(send, conflict())
        return
    send.seq = stored.seq
    send.server_msg_id = stored.server_msg_id
    send.server_time_ms = stored.server_time_ms
    send.submitter.stored(send, duplicate=True)


def conflict() -> IdempotentConflict:
    return IdempotentConflict("this clientMsgId was used for another message", field="send.clientMsgId")
