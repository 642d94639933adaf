"""What business tells the other roles over the bus: first that something changed, then why."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from imd.bus.port import Bus, BusFailure, NoResponder
from imd.bus.subjects import AUTH_INVALIDATE, DEFAULT_TIMEOUT_S, message_send, shard_of
from imd.business.accounts.model import Revocation
from imd.business.relations.ports import Changed
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.errors import ServerBusy
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import TimeoutError, sleep, with_timeout
from imd.pb.bus_pb2 import Invalidation, SystemAppend, SystemAppended
from imd.pb.message_pb2 import SystemNotice

#: Seconds between tries of a notice; they outlast the taking over of a shard whose owner died.
_NOTICE_RETRY_S = (0.5, 2.0, 10.0, 30.0)
#: Seconds between tries of events that the bus did not take, the last for ever: so long after the bus is back,
#: whoever was revoked may still be connected.
_EVENT_RETRY_S = (0.5, 2.0, 5.0)
#: Events that wait for the bus, at some 300 bytes each; changes come with REST requests, so this is an outage
#: of hours. The oldest are given up: what they tell of ends by the time-outs of those who cache it.
MAX_LATE_EVENTS = 50_000
#: People whom a notice names, and not only counts: every member is sent it, and a group may begin with 10,000.
MAX_SUBJECTS = 1_000
#: Conversations in one event. A node that knows them marks each with all the people who are named.
_CHANGED_PER_EVENT = 100


class BusAnnouncements:
    """See ``Announcements`` in the ports of accounts, groups and relations."""

    _log = Logger()

    def __init__(self, *, bus: Bus, clock: Clock, wall_clock: WallClock, tasks: Tasks) -> None:
        self._bus = bus
        self._clock = clock
        self._wall_clock = wall_clock
        self._tasks = tasks
        #: What the bus did not take at once, in order. It lives as long as the process.
        self._late: deque[bytes] = deque()
        self._is_late = False

    async def revoked(self, revocation: Revocation) -> None:
        event = Invalidation(timestamp=self._wall_clock())
        event.revoked.userId = revocation.user_id
        event.revoked.deviceId = revocation.device_id
        event.revoked.exceptDeviceId = revocation.except_device_id
        event.revoked.reason = revocation.reason
        event.revoked.loginIds.extend(revocation.login_ids)
        await self._record(event.SerializeToString())

    async def membership_changed(
        self,
        conversation_id: str,
        version: int,
        *,
        removed_ids: Sequence[int] = (),
        reason: str = "",
        restricted_ids: Sequence[int] = (),
    ) -> None:
        event = Invalidation(
            conversationId=conversation_id,
            version=version,
            timestamp=self._wall_clock(),
            removedIds=removed_ids,
            reason=reason,
            restrictedIds=restricted_ids,
        )
        await self._record(event.SerializeToString())

    async def relations_changed(self, changed: Sequence[Changed], *, restricted: bool) -> None:
        for start in range(0, len(changed), _CHANGED_PER_EVENT):
            some = changed[start : start + _CHANGED_PER_EVENT]
            event = Invalidation(timestamp=self._wall_clock())
            event.changed.conversationIds.extend(one.conversation_id for one in some)
            event.changed.versions.extend(one.version for one in some)
            if restricted:
                user_ids = {user_id for one in some for user_id in one.user_ids}
                event.changed.restrictedIds.extend(sorted(user_ids))
            await self._record(event.SerializeToString())

    async def sight_changed(self, user_id: int, peer_ids: Sequence[int] = ()) -> None:
        event = Invalidation(timestamp=self._wall_clock())
        event.sight.userId = user_id
        event.sight.peerIds.extend(peer_ids)
        await self._record(event.SerializeToString())

    async def notice(
        self,
        conversation_id: str,
        version: int,
        event: str,
        *,
        actor_id: int,
        subject_ids: Sequence[int] = (),
        text: str = "",
        until_ms: int = 0,
    ) -> None:
        notice = SystemNotice(
            event=event,
            actorId=actor_id,
            subjectIds=subject_ids[:MAX_SUBJECTS],
            subjectCount=len(subject_ids),
            text=text,
            until=until_ms,
        )
        request = SystemAppend(
            # The version names the change, so that a repeat of this request writes nothing twice.
            conversationId=conversation_id,
            clientMsgId=f"{event}:{version}",
            notice=notice,
            version=version,
        )
        if await self._append(request):
            self._tasks.spawn("notice later", self._append_later(request))

    async def _append(self, request: SystemAppend) -> bool:
        """Whether it is worth another try."""
        subject = message_send(shard_of(request.conversationId))
        try:
            payload = await self._bus.request(
                subject, request.SerializeToString(), timeout_s=DEFAULT_TIMEOUT_S
            )
            failure = SystemAppended.FromString(payload).failure
        except (NoResponder, BusFailure, TimeoutError, ServerBusy) as error:
            # The shard may have no owner just now, or the answer was lost: the key makes a repeat harmless.
            reason, again = repr(error), True
        except CancelledError:
            raise
        except Exception as error:
            # Another try would end the same; the change itself is committed, and is answered.
            reason, again = repr(error), False
        else:
            reason, again = failure.message, failure.retryable
            if not failure.code:
                return False
        self._log.warn(
            "the {event} notice in {conversation_id} is not written: {reason}",
            event=request.notice.event,
            conversation_id=request.conversationId,
            reason=reason,
        )
        return again

    async def _append_later(self, request: SystemAppend) -> None:
        for delay_s in _NOTICE_RETRY_S:
            await sleep(delay_s, clock=self._clock)
            if not await self._append(request):
                return

    async def _record(self, payload: bytes) -> None:
        """Returns when the event is recorded, or will be tried until it is."""
        if await self._publish(payload):
            return
        self._late.append(payload)
        if len(self._late) > MAX_LATE_EVENTS:
            self._late.popleft()
            self._log.critical("an invalidation was given up; caches of other roles end by their time-outs")
        if not self._is_late:
            self._is_late = True
            self._tasks.spawn("announce later", self._publish_late())

    async def _publish(self, payload: bytes) -> bool:
        try:
            await with_timeout(
                self._bus.publish_durable(AUTH_INVALIDATE, payload),
                timeout_s=DEFAULT_TIMEOUT_S,
                clock=self._clock,
            )
        except CancelledError:
            raise
        except Exception as error:
            # Whatever it was: the change is committed, and must be told sooner or later.
            self._log.error("the bus took no invalidation: {error!r}", error=error)
            return False
        return True

    async def _publish_late(self) -> None:
        failures = 0
        try:
            while self._late:
                await sleep(_EVENT_RETRY_S[min(failures, len(_EVENT_RETRY_S) - 1)], clock=self._clock)
                failures += 1
                while self._late and await self._publish(event := self._late[0]):
                    failures = 0
                    # It may have been given up meanwhile.
                    if self._late and self._late[0] is event:
                        self._late.popleft()
        finally:
            self._is_late = False
            if self._late:
                self._log.critical("{count} invalidations end with this process", count=len(self._late))
