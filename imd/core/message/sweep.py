"""Tail loss: a gap shows a lost middle, nothing shows a lost last message. So look.

Every 20 s the store is asked for the newest seq of the conversations that somebody here is in;
whoever has not been told that far gets a hint. Bound: 30 s. Of conversations that nobody here has used the other
nodes tell; while they cannot, ``QuietTails`` looks.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from imd.core.message.fanout import Fanout
from imd.core.message.live import LiveConversations
from imd.core.message.ports import MessageLog
from imd.core.message.quiet_tails import QuietTails
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep

#: Conversations asked for at a time.
BATCH = 500
#: Conversations whose members are asked for again in one sweep; the rest come with the next one.
MAX_REFRESHED = 200
#: Of these, so many may fail before it is the directory that is down: each may cost a time-out.
MAX_REFUSED = 5


class TailSweep:
    """A stage that looks for tails for as long as it runs.

    :param quiet: of conversations that are not in use here, if there are other nodes.
    """

    _logger = Logger()

    def __init__(
        self,
        *,
        live: LiveConversations,
        log: MessageLog,
        fanout: Fanout,
        tasks: Tasks,
        clock: Clock,
        interval_s: float,
        quiet: QuietTails | None = None,
    ) -> None:
        self._live = live
        self._log = log
        self._fanout = fanout
        self._tasks = tasks
        self._clock = clock
        self._interval_s = interval_s
        self._quiet = quiet
        #: Tails that were found, ever.
        self.repairs = 0

    async def start(self) -> None:
        self._tasks.spawn("tail sweep", self._run())

    async def stop(self) -> None:
        """Ended with its tasks."""

    async def _run(self) -> None:
        while True:
            await sleep(self._interval_s, clock=self._clock)
            try:
                await self.sweep()
            except ImError as error:
                self._logger.warn("tail sweep put off: {error}", error=error)
            except CancelledError:
                raise
            except Exception:
                self._logger.failure("tail sweep failed; it goes on with the next")

    async def sweep(self) -> int:
        """Look once; how many conversations had a tail that was not told."""
        behind = 0
        await self._refresh()
        conversations = self._live.with_audience()
        for start in range(0, len(conversations), BATCH):
            batch = {live.conversation_id: live for live in conversations[start : start + BATCH]}
            told = {conversation_id: live.fanned_seq for conversation_id, live in batch.items()}
            last_seqs = await self._log.last_seqs(list(batch))
            for conversation_id, last_seq in last_seqs.items():
                live = batch[conversation_id]
                # Compared with what was told before the read: what came since is on its way.
                if last_seq > max(told[conversation_id], live.fanned_seq) and not live.in_use:
                    behind += 1
                    self._fanout.hint(live, last_seq)
        behind += await self._quiet.look() if self._quiet is not None else 0
        self.repairs += behind
        return behind

    async def _refresh(self) -> None:
        """Conversations whose members changed and where nobody has written since: who is here?"""
        refused = 0
        for live in self._live.without_audience()[:MAX_REFRESHED]:
            try:
                await self._live.load(live.conversation_id)
            except ImError as error:
                # One that cannot be learned must not keep the others' tails from being looked for.
                refused += 1
                if refused == MAX_REFUSED:
                    self._logger.warn("the tail sweep cannot ask for members: {error}", error=error)
                    return
