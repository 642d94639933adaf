"""What business tells the other roles over the bus: first that something changed, then why."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from imd.bus.port import Bus, BusFailure, NoResponder
from imd.bus.subjects import AUTH_INVALIDATE, DEFAULT_TIMEOUT_S, message_send, shard_of
from imd.business.accounts.model import Revocation
from imd.business.announced import (
    Announced,
    about_notice,
    is_notice,
    of_membership,
    of_relations,
    of_revocation,
    of_sight,
)
from imd.business.relations.ports import Changed
from imd.business.retell import Waiting
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.errors import ImError, ServerBusy
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import TimeoutError, sleep, with_timeout
from imd.pb.bus_pb2 import Invalidation, SystemAppend, SystemAppended
from imd.pb.message_pb2 import SystemNotice

#: Seconds between tries of a notice; they outlast the taking over of a shard whose owner died. Then it is
#: ``Retelling``'s.
_NOTICE_RETRY_S = (0.5, 2.0, 10.0, 30.0)
#: Seconds between tries of events that the bus did not take, the last for ever: so long after the bus is back,
#: whoever was revoked may still be connected.
_EVENT_RETRY_S = (0.5, 2.0, 5.0)
#: Events that wait for the bus, at some 300 bytes each; changes come with REST requests, so this is an outage
#: of hours. The oldest are given up: what they tell of ends by the time-outs of those who cache it.
MAX_LATE_EVENTS = 50_000
#: People whom a notice names, and not only counts: every member is sent it, and a group may begin with 10,000.
MAX_SUBJECTS = 1_000


class _Late(NamedTuple):
    """An event for the bus, and the name under which it is written down; maybe none."""

    about: str
    payload: bytes


class BusAnnouncements:
    """See ``Announcements`` in the ports of accounts, groups and relations.

    Tells at once; what that cannot do is ``Retelling``'s.

    :param waiting: where tellings are written down with their changes.
    """

    _log = Logger()

    def __init__(
        self, *, bus: Bus, waiting: Waiting, clock: Clock, wall_clock: WallClock, tasks: Tasks
    ) -> None:
        self._bus = bus
        self._waiting = waiting
        self._clock = clock
        self._wall_clock = wall_clock
        self._tasks = tasks
        #: What the bus did not take at once, in order. It lives as long as the process; what is written down with
        #: its change outlives it.
        self._late: deque[_Late] = deque()
        self._is_late = False
        #: Events that nobody will be told of by this process.
        self.given_up = 0
        self._to_forget: list[str] = []
        self._is_forgetting = False

    async def revoked(self, revocation: Revocation) -> None:
        await self._record(of_revocation(revocation))

    async def membership_changed(
        self,
        conversation_id: str,
        version: int,
        *,
        removed_ids: Sequence[int] = (),
        reason: str = "",
        restricted_ids: Sequence[int] = (),
    ) -> None:
        await self._record(
            of_membership(
                conversation_id,
                version,
                removed_ids=removed_ids,
                reason=reason,
                restricted_ids=restricted_ids,
            )
        )

    async def relations_changed(self, changed: Sequence[Changed], *, restricted: bool) -> None:
        for announced in of_relations(changed, restricted=restricted):
            await self._record(announced)

    async def sight_changed(self, user_id: int, peer_ids: Sequence[int] = ()) -> None:
        await self._record(of_sight(user_id, peer_ids))

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
        # It is no part of the change's transaction, which does not know of it; but from here on it is not lost.
        about = about_notice(request)
        try:
            await self._waiting.remember(about, request.SerializeToString())
        except ImError as error:
            self._log.warn(
                "the notice {about} lives as long as this process: {error}", about=about, error=error
            )
        if await self._append(request):
            self._tasks.spawn("notice later", self._append_later(about, request))
        else:
            self._told(about)

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

    async def _append_later(self, about: str, request: SystemAppend) -> None:
        for delay_s in _NOTICE_RETRY_S:
            await sleep(delay_s, clock=self._clock)
            if not await self._append(request):
                self._told(about)
                return

    @property
    def waiting(self) -> int:
        """Events that the bus has not taken yet."""
        return len(self._late)

    async def _record(self, announced: Announced) -> None:
        """Returns when the event is recorded, or will be tried until it is."""
        announced.event.timestamp = self._wall_clock()
        late = _Late(announced.about, announced.event.SerializeToString())
        if await self._publish(late.payload):
            self._told(late.about)
            return
        self._late.append(late)
        if len(self._late) > MAX_LATE_EVENTS:
            self._late.popleft()
            self.given_up += 1
            self._log.critical(
                "an invalidation was given up; it is told from the database, or caches of other roles end by their "
                "time-outs"
            )
        if not self._is_late:
            self._is_late = True
            self._tasks.spawn("announce later", self._publish_late())

    async def tell_again(self, about: str, payload: bytes) -> bool:
        """Whether what was written down is told now: to the bus, as an event of now, or to the conversation's owner,
        under the key of the first time."""
        if is_notice(about):
            return not await self._append(SystemAppend.FromString(payload))
        event = Invalidation.FromString(payload)
        event.timestamp = self._wall_clock()
        return await self._publish(event.SerializeToString())

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

    def _told(self, about: str) -> None:
        """The bus has it: nobody needs to tell it again. Those that come meanwhile are forgotten together."""
        if not about:
            return
        self._to_forget.append(about)
        if not self._is_forgetting:
            self._is_forgetting = True
            self._tasks.spawn("forget what was told", self._forget())

    async def _forget(self) -> None:
        try:
            while self._to_forget:
                some, self._to_forget = self._to_forget, []
                await self._waiting.forget(some)
        except ImError as error:
            # They are told once more, and do no harm.
            self._log.warn("what was told is not forgotten yet: {error}", error=error)
        finally:
            self._is_forgetting = False

    async def _publish_late(self) -> None:
        failures = 0
        try:
            while self._late:
                await sleep(_EVENT_RETRY_S[min(failures, len(_EVENT_RETRY_S) - 1)], clock=self._clock)
                failures += 1
                while self._late and await self._publish((late := self._late[0]).payload):
                    failures = 0
                    self._told(late.about)
                    # It may have been given up meanwhile.
                    if self._late and self._late[0] is late:
                        self._late.popleft()
        finally:
            self._is_late = False
            if self._late:
                self._log.warn(
                    "{count} invalidations were not told by this process; others tell them",
                    count=len(self._late),
                )
