"""Does what is due about reviews: expires, delivers, tells the sender, forgets; again and again until it is done.

Every node runs one. Whoever claims a review works on it for a while; should it die, another one goes on from what is
written, and the message's own key keeps it from being stored twice.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.bus.failures import error_of, failure_of
from imd.bus.port import Bus, BusFailure, NoResponder
from imd.bus.subjects import DEFAULT_TIMEOUT_S, MESSAGE_DECIDED, message_send, shard_of
from imd.business.groups.direct import OpenDirect
from imd.business.reviews.model import KEPT_AFTER_MS, Held, Input, Review, State
from imd.business.reviews.ports import Reviews
from imd.business.reviews.told import decided
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.errors import Code, ImError, ServerBusy
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import TimeoutError, sleep
from imd.pb.bus_pb2 import HeldMessage, SystemAppend, SystemAppended
from imd.pb.message_pb2 import SendMessageReq

#: Another node's decisions, and expiry, are noticed by then; one's own at once.
POLL_S = 2.0
#: Longer than a delivery takes at worst.
CLAIM_MS = 30_000
#: After core could not be reached.
RETRY_MS = 5_000
AT_ONCE = 20
#: Of a 1:1 conversation that is there.
FIRST_VERSION = 1

#: Core's considered no: another try would end the same.
_FINAL_CODES = frozenset(
    (Code.FORBIDDEN, Code.PAYLOAD_INVALID, Code.MEDIA_REQUIRED, Code.IDEMPOTENT_CONFLICT, Code.AUTH_FAILED)
)


class ReviewRelay:
    """A stage."""

    _log = Logger()

    def __init__(
        self,
        *,
        reviews: Reviews,
        open_direct: OpenDirect,
        bus: Bus,
        clock: Clock,
        wall_clock: WallClock,
        tasks: Tasks,
    ) -> None:
        self._reviews = reviews
        self._open_direct = open_direct
        self._bus = bus
        self._clock = clock
        self._wall_clock = wall_clock
        self._tasks = tasks
        self._pause: Deferred[None] | None = None
        self._woken = False
        #: Approved reviews, by what core did with them.
        self.stored = 0
        self.refused = 0
        self.put_off = 0

    async def start(self) -> None:
        self._tasks.spawn("relay reviews", self._run())

    async def stop(self) -> None:
        """Ended with the background work; what is claimed is claimed by another node in half a minute."""

    def wake(self) -> None:
        """Something was decided here."""
        self._woken = True
        if self._pause is not None:
            self._pause.cancel()

    async def _run(self) -> None:
        while True:
            self._woken = False
            try:
                worked = await self.work()
            except ImError as error:
                self._log.warn("reviews wait: {error}", error=error)
                worked = False
            if not worked and not self._woken:
                await self._rest()

    async def _rest(self) -> None:
        self._pause = sleep(POLL_S, clock=self._clock)
        try:
            await self._pause
        except CancelledError:
            if not self._woken:
                raise
        finally:
            self._pause = None

    async def work(self) -> bool:
        """Do what is due; whether there was anything."""
        now_ms = self._wall_clock()
        claimed = await self._reviews.claim(now_ms, until_ms=now_ms + CLAIM_MS, limit=AT_ONCE)
        for review in claimed:
            try:
                await self._work_on(review)
            except ImError as error:
                # It is claimed again when the claim is over.
                self._log.warn("review {id} waits: {error}", id=review.review_id, error=error)
            except CancelledError:
                raise
            except Exception:
                # Whatever it is, it is this review's alone: the others are not to wait for it.
                self._log.failure("review {id} waits", id=review.review_id)
        return bool(claimed)

    async def _work_on(self, review: Review) -> None:
        if review.state is State.PENDING:
            review = await self._happened(review, Input.EXPIRE)
        appended = SystemAppended(seq=review.seq)
        if review.state in (State.APPROVED, State.DELIVERED):
            # A delivered one again, by a node that died before it told the sender: it is not stored twice, and the
            # answer says what the sender is to know.
            answer = await self._append(review)
            if answer is None:
                self.put_off += 1
                await self._reviews.put_off(review.review_id, self._wall_clock() + RETRY_MS)
                return
            appended = answer
            if review.state is State.APPROVED:
                review = await self._settled(review, appended)
        self._tell(review, appended)
        await self._reviews.put_off(review.review_id, self._wall_clock() + KEPT_AFTER_MS)

    async def _settled(self, review: Review, appended: SystemAppended) -> Review:
        if not appended.failure.code:
            self.stored += 1
            return await self._happened(review, Input.STORED, seq=appended.seq)
        self.refused += 1
        self._log.info(
            "review {id} was approved, and core refuses it: {reason}",
            id=review.review_id,
            reason=appended.failure.message,
        )
        note = f"{review.note} (not delivered: {appended.failure.message})".strip()
        return await self._happened(review, Input.REJECTED, note=note)

    async def _happened(self, review: Review, what: Input, *, seq: int = 0, note: str = "") -> Review:
        return await self._reviews.happened(review.review_id, what, self._wall_clock(), seq=seq, note=note)

    async def _append(self, review: Review) -> SystemAppended | None:
        """Core's answer, if it is its last word; None: another try may be better."""
        held = review.held
        try:
            version = await self._open(held)
        except ImError as error:
            if error.retryable:
                raise
            return SystemAppended(failure=failure_of(error))
        request = SystemAppend(
            conversationId=held.conversation_id,
            clientMsgId=held.client_msg_id,
            version=version,
            approved=HeldMessage(
                senderId=held.sender_id,
                deviceId=held.device_id,
                request=held.request,
                contentHash=held.content_hash,
            ),
        )
        subject = message_send(shard_of(held.conversation_id))
        try:
            answer = SystemAppended.FromString(
                await self._bus.request(subject, request.SerializeToString(), timeout_s=DEFAULT_TIMEOUT_S)
            )
        except (NoResponder, BusFailure, TimeoutError, ServerBusy, DecodeError) as error:
            self._log.warn("review {id} is not delivered yet: {error!r}", id=review.review_id, error=error)
            return None
        failure = answer.failure
        if failure.code and (failure.retryable or error_of(failure).code not in _FINAL_CODES):
            self._log.warn(
                "review {id} is not delivered yet: {reason}", id=review.review_id, reason=failure.message
            )
            return None
        return answer

    async def _open(self, held: Held) -> int:
        """The first message to somebody opens the conversation; the version that it has at least then."""
        peer_id = SendMessageReq.FromString(held.request).peerUserId
        if not peer_id:
            return 0
        await self._open_direct(held.sender_id, peer_id)
        return FIRST_VERSION

    def _tell(self, review: Review, appended: SystemAppended) -> None:
        told = decided(review)
        told.ack.serverMsgId = appended.serverMsgId
        told.ack.serverTime = appended.serverTime
        self._bus.publish(MESSAGE_DECIDED, told.SerializeToString())
