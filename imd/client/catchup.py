"""Every message of every conversation, once and in order, whatever the network did to them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from imd.client.cursors import CursorStore
from imd.client.ordering import ConversationOrder
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep
from imd.pb.connection_pb2 import ConversationCursor
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import Message
from imd.pb.sync_pb2 import FORWARD, HistoryResp, SyncResp

#: The server's own page.
PAGE = 200
#: A stranger's Connect may have 4 KiB; a SyncReq 256 KiB. The rest is left for token and names.
CONNECT_CURSOR_BYTES = 2 * 1024
SYNC_CURSOR_BYTES = 192 * 1024
MAX_SYNC_CURSORS = 2000
#: The server serves history at its lowest priority; a few at a time keep it friendly.
MAX_PULLS = 4
#: What is missing may be on its way, an ACK or another queue of the server; ask only after this.
GAP_PATIENCE_S = 0.1
RETRY_S = 1.0
#: Conversations whose order is in memory; an idle one beyond that lives on in the cursor store.
MAX_CONVERSATIONS = 10_000


class Catchup:
    """Feeds ``apply`` the contiguous sequence of each conversation and pulls what is missing.

    :param initial_history: of a conversation never seen before, so many of the newest messages are
        pulled; None means from the very first.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        tasks: Tasks,
        cursors: CursorStore,
        ask: Callable[[Envelope], Deferred[Envelope]],
        apply: Callable[[Message], None],
        caught_up: Callable[[], None],
        initial_history: int | None,
    ) -> None:
        self._clock = clock
        self._tasks = tasks
        self._cursors = cursors
        self._ask = ask
        self._apply = apply
        self._caught_up = caught_up
        self._initial_history = initial_history
        self._orders: dict[str, ConversationOrder] = {}
        self._turn: deque[Message] = deque()
        self._applying = False
        self._wanted: dict[str, None] = {}
        self._pulling: set[str] = set()
        self._waits: dict[str, IDelayedCall] = {}
        self._live = False
        #: A sync is not complete; a SyncReq is on its way; another one is due after it.
        self._syncing = False
        self._asking = False
        self._again = False
        self._owes_caught_up = False

    # What happens.

    def opened(self, epoch: str) -> None:
        """Connected; the server's first SyncResp follows by itself, except after a change of epoch."""
        known = self._cursors.epoch()
        self._live = True
        self._syncing = self._owes_caught_up = True
        if known != epoch:
            kept = {} if known else dict(self._cursors.all())
            self._cursors.reset(epoch)
            for conversation_id, seq in kept.items():
                self._cursors.put(conversation_id, seq)
            if known:
                self._orders.clear()
                self._wanted.clear()
                self._sync("")
        self._pull_next()

    def closed(self) -> None:
        """No connection: whatever waits is asked for again after the next ``opened``."""
        self._live = False
        for conversation_id, wait in self._waits.items():
            wait.cancel()
            self._wanted[conversation_id] = None
        self._waits.clear()

    def resync(self) -> None:
        """Frames were lost: ask how far the server is."""
        if self._asking:
            self._again = True
        elif self._live:
            self._syncing = self._owes_caught_up = True
            self._sync("")

    def message(self, message: Message) -> None:
        """A Deliver, or an own message made from its ACK."""
        order = self._order(message.conversationId, message.seq, live=True)
        self._offer(order, message)
        if order.behind:
            self._want_later(message.conversationId, GAP_PATIENCE_S)

    def hint(self, conversation_id: str, last_seq: int) -> None:
        """There is something up to ``last_seq``."""
        order = self._order(conversation_id, last_seq, live=True)
        order.heard_of(last_seq)
        self._want(conversation_id)

    def behind(self, page: SyncResp) -> None:
        """A page of the conversations in which the server is ahead."""
        for state in page.behind:
            order = self._order(state.conversationId, state.lastSeq, live=False)
            order.heard_of(state.lastSeq)
            self._want(state.conversationId)
        if page.nextPageToken:
            self._sync(page.nextPageToken)
        else:
            self._syncing = False
            self._tell_if_caught_up()

    def connect_cursors(self) -> list[ConversationCursor]:
        """For Connect; what does not fit is reported by the server as behind, and judged here."""
        return self._cursor_list(CONNECT_CURSOR_BYTES)

    # Applying.

    def _order(self, conversation_id: str, newest: int, *, live: bool) -> ConversationOrder:
        order = self._orders.get(conversation_id)
        if order is None:
            seq = self._cursors.get(conversation_id)
            if seq is None:
                seq = self._first_cursor(newest, live=live)
                self._cursors.put(conversation_id, seq)
            if len(self._orders) >= MAX_CONVERSATIONS:
                self._forget_one()
            order = self._orders[conversation_id] = ConversationOrder(seq)
        return order

    def _first_cursor(self, newest: int, *, live: bool) -> int:
        """Where to begin; what comes live is always new, whatever is left of what was before."""
        if self._initial_history is None:
            return 0
        seen = newest - self._initial_history
        return max(0, min(seen, newest - 1) if live else seen)

    def _forget_one(self) -> None:
        for conversation_id, order in self._orders.items():
            if not order.behind and conversation_id not in self._pulling:
                del self._orders[conversation_id]
                return

    def _offer(self, order: ConversationOrder, message: Message) -> None:
        self._hand_over(order.offer(message))

    def _hand_over(self, turn: list[Message]) -> None:
        """One at a time, even if the application's callback makes more come in."""
        self._turn.extend(turn)
        if self._applying:
            return
        self._applying = True
        try:
            while self._turn:
                message = self._turn.popleft()
                self._apply(message)
                self._cursors.put(message.conversationId, message.seq)
        finally:
            self._applying = False

    # Asking.

    def _cursor_list(self, max_bytes: int) -> list[ConversationCursor]:
        cursors: list[ConversationCursor] = []
        for conversation_id, seq in reversed(list(self._cursors.all().items())):
            cursor = ConversationCursor(conversationId=conversation_id, lastSeq=seq)
            max_bytes -= cursor.ByteSize() + 4
            if max_bytes < 0 or len(cursors) == MAX_SYNC_CURSORS:
                break
            cursors.append(cursor)
        return cursors

    def _sync(self, page_token: str) -> None:
        self._asking = True
        self._tasks.spawn("sync", self._ask_sync(page_token))

    async def _ask_sync(self, page_token: str) -> None:
        envelope = Envelope()
        envelope.syncReq.cursors.extend(self._cursor_list(SYNC_CURSOR_BYTES))
        envelope.syncReq.pageToken = page_token
        answer: Envelope | None = None
        while answer is None:
            try:
                answer = await self._ask(envelope)
            except ImError as error:
                if self._live and error.retryable:
                    await sleep(error.retry_after_ms / 1000 or RETRY_S, clock=self._clock)
                else:
                    break
            if not self._live:
                break
        self._asking = False
        if answer is None or not self._live:
            # The next connection begins with a sync of its own.
            self._again = False
            return
        self.behind(answer.syncResp)
        if self._again and not self._asking:
            self._again = False
            self.resync()

    def _want(self, conversation_id: str) -> None:
        wait = self._waits.pop(conversation_id, None)
        if wait is not None and wait.active():
            wait.cancel()
        self._wanted[conversation_id] = None
        self._pull_next()

    def _want_later(self, conversation_id: str, delay_s: float) -> None:
        if (
            conversation_id not in self._waits
            and conversation_id not in self._wanted
            and conversation_id not in self._pulling
        ):
            self._waits[conversation_id] = self._clock.callLater(delay_s, self._want, conversation_id)

    def _pull_next(self) -> None:
        while self._live and self._wanted and len(self._pulling) < MAX_PULLS:
            conversation_id = next((each for each in self._wanted if each not in self._pulling), None)
            if conversation_id is None:
                return
            del self._wanted[conversation_id]
            order = self._orders.get(conversation_id)
            if order is not None and order.behind:
                self._pulling.add(conversation_id)
                self._tasks.spawn("pull", self._pull(conversation_id, order))
        self._tell_if_caught_up()

    async def _pull(self, conversation_id: str, order: ConversationOrder) -> None:
        try:
            while order.behind:
                first, last = order.missing
                envelope = Envelope()
                request = envelope.historyReq
                request.conversationId = conversation_id
                request.fromSeq = first
                request.limit = min(PAGE, last - first + 1)
                request.direction = FORWARD
                answer = await self._ask(envelope)
                self._take(order, first, answer.historyResp)
        except ImError as error:
            # Out of the set first, or it could not be wanted again.
            self._pulling.discard(conversation_id)
            self._refused(conversation_id, order, error)
        finally:
            self._pulling.discard(conversation_id)
            self._pull_next()

    def _take(self, order: ConversationOrder, first: int, page: HistoryResp) -> None:
        if not page.messages:
            if order.applied < first:
                # Nothing there and nothing to come: a hint that was wrong.
                order.give_up()
            return
        if page.messages[0].seq > order.applied + 1:
            self._hand_over(order.skip_to(page.messages[0].seq - 1))
        for message in page.messages:
            self._offer(order, message)

    def _refused(self, conversation_id: str, order: ConversationOrder, error: ImError) -> None:
        if not self._live:
            self._wanted[conversation_id] = None
        elif error.retryable:
            self._want_later(conversation_id, error.retry_after_ms / 1000 or RETRY_S)
        else:
            order.give_up()

    def _tell_if_caught_up(self) -> None:
        busy = self._syncing or self._wanted or self._pulling or self._waits
        if self._live and self._owes_caught_up and not busy:
            self._owes_caught_up = False
            self._caught_up()
