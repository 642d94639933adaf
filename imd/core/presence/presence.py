"""Who is online, and telling it to those who watch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from sys import intern
from typing import NamedTuple

from twisted.internet.interfaces import IDelayedCall

from imd.core.directory import Directory
from imd.core.presence.elsewhere import Elsewhere
from imd.core.presence.last_seen import SeenTimes
from imd.core.presence.model import Device, PresenceState
from imd.core.presence.ports import LastSeen, Watcher
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.errors import PayloadInvalid, ServerBusy

#: The next look at pending changes comes no sooner: changes that are due close together go out in one notice.
_TICK_S = 0.05
#: Users told about in one turn of the reactor; each may have hundreds of watchers.
_TOLD_PER_TURN = 1_000
#: Each is asked because something changed while the one before was answered.
_MAX_QUESTIONS = 5


class _Session(NamedTuple):
    """One session; a user's sessions are a tuple of these, which is the smallest there is."""

    session_id: int
    platform: str
    since_ms: int


class _Watched:
    """A user somebody watches: who, and what all of them were told last."""

    __slots__ = ("told", "watchers")

    def __init__(self, told: PresenceState) -> None:
        self.told = told
        self.watchers: dict[Watcher, None] = {}


class _Question:
    """Somebody wants to watch, and the directory is asked whom they may."""

    __slots__ = ("in_doubt",)

    def __init__(self) -> None:
        self.in_doubt = False


class Presence:
    """Users, their sessions, and watchers.

    A change is told when ``merge_window_s`` have passed since the first change that was not told
    yet, and only if the user then is not what the watchers know: who goes and comes back in
    between is not worth a word. Without a ``last_seen`` store, nobody was seen before this start.

    :param elsewhere: the sessions at other nodes, if there may be any.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        wall_clock: WallClock,
        directory: Directory,
        merge_window_s: float,
        max_watched: int,
        last_seen: LastSeen | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._directory = directory
        self._merge_window_s = merge_window_s
        self._max_watched = max_watched
        self._seen = SeenTimes(store=last_seen, clock=clock, shared=elsewhere is not None)
        self._elsewhere = elsewhere
        if elsewhere is not None:
            elsewhere.on_change(self._changed, self._seen_elsewhere)
        self._online: dict[int, tuple[_Session, ...]] = {}
        self._watched: dict[int, _Watched] = {}
        self._watching: dict[Watcher, tuple[int, ...]] = {}
        #: The newest question of each watcher that has not been answered yet.
        self._asking: dict[Watcher, _Question] = {}
        #: When which user's change is told; in order, since the window is the same for all.
        self._pending: OrderedDict[int, float] = OrderedDict()
        self._timer: IDelayedCall | None = None
        #: Changes that were over before anybody was told.
        self.flaps = 0

    async def start(self) -> None:
        """Sessions may come at any time; nothing to open."""

    async def stop(self) -> None:
        """Forget the watchers, and write down who was seen."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._pending.clear()
        now_ms = self._wall_clock()
        for user_id in self._online:
            self._seen.note(user_id, now_ms)
        await self._seen.stop()

    def session_online(self, user_id: int, session_id: int, platform: str, device_id: str = "") -> None:
        """A session has begun; telling it twice changes nothing.

        :param device_id: if sessions elsewhere matter: a device is at one node only.
        """
        sessions = self._online.get(user_id, ())
        if any(session.session_id == session_id for session in sessions):
            return
        now_ms = self._wall_clock()
        self._online[user_id] = (*sessions, _Session(session_id, intern(platform), now_ms))
        if self._elsewhere is not None:
            self._elsewhere.is_here(user_id, device_id)
        # So that a crash does not make somebody who is here look long gone.
        self._seen.note(user_id, now_ms)
        self._changed(user_id)

    def session_offline(self, user_id: int, session_id: int) -> None:
        """A session has ended; one that is not known changes nothing."""
        sessions = self._online.get(user_id, ())
        left = tuple(session for session in sessions if session.session_id != session_id)
        if len(left) == len(sessions):
            return
        if left:
            self._online[user_id] = left
        else:
            del self._online[user_id]
        self._seen.note(user_id, self._wall_clock())
        self._changed(user_id)

    def was_seen(self, user_id: int) -> None:
        """The user was at a node that died, and cannot write it down."""
        self._seen.note(user_id, self._wall_clock())

    async def subscribe(self, watcher: Watcher, user_ids: Sequence[int]) -> list[PresenceState]:
        """Watch these users instead of those before; what they are now, in the order of asking.

        Who may not be seen looks like who does not exist: offline, never seen. A later call, or
        ``unsubscribe``, wins over one that is still waiting for the directory.

        :raises PayloadInvalid: too many at once.
        :raises ServerBusy: the directory or the store does not answer; what was watched still is.
        """
        if len(user_ids) > self._max_watched:
            raise PayloadInvalid(
                f"at most {self._max_watched} users can be watched", field="presenceSubscribeReq.userIds"
            )
        wanted = tuple(dict.fromkeys(user_ids))
        question = self._asking[watcher] = _Question()
        kept: tuple[int, ...] = ()
        try:
            visible = await self._visible(watcher, wanted, question)
            shown = tuple(user_id for user_id in wanted if user_id in visible)
            stored = await self._seen.load(shown)
            if self._elsewhere is not None and shown:
                # Kept before they are asked for: what nodes tell meanwhile counts.
                self._elsewhere.keep(shown)
                kept = shown
                await self._elsewhere.learn(shown)
            if self._asking.get(watcher) is question:
                self._watch(watcher, shown, stored)
            return [
                self._as_told(user_id, stored) if user_id in visible else PresenceState(user_id)
                for user_id in wanted
            ]
        finally:
            if self._asking.get(watcher) is question:
                del self._asking[watcher]
            if self._elsewhere is not None:
                self._elsewhere.release(kept)

    def unsubscribe(self, watcher: Watcher) -> None:
        """The watcher has gone; it is not called any more."""
        self._asking.pop(watcher, None)
        self._release(watcher, self._watching.pop(watcher, ()))

    def doubt(self) -> None:
        """Who may see whom has changed: what is being answered may be the old state."""
        for question in self._asking.values():
            question.in_doubt = True

    def watchers_between(self, user_id: int, peer_ids: Sequence[int]) -> Iterator[tuple[Watcher, int]]:
        """Who watches whom between the user and these; if there are none, all who watch the user."""
        peers = frozenset(peer_ids)
        for target_id in (user_id, *peers):
            watched = self._watched.get(target_id)
            if watched is None:
                continue
            for watcher in watched.watchers:
                watcher_id = watcher.speaker.user_id
                between = watcher_id in peers if target_id == user_id else watcher_id == user_id
                if between or not peers:
                    yield watcher, target_id

    def hide(self, watcher: Watcher, user_ids: Collection[int]) -> None:
        """The watcher may not see these any more, and is told what it would be told of people who never were."""
        watching = self._watching.get(watcher, ())
        hidden = [user_id for user_id in watching if user_id in user_ids]
        if not hidden:
            return
        self._watching[watcher] = tuple(user_id for user_id in watching if user_id not in user_ids)
        self._release(watcher, hidden)
        watcher.presence_changed([PresenceState(user_id) for user_id in hidden])

    def counts(self) -> dict[str, int]:
        """Sizes, for whoever watches memory."""
        return {
            "online": len(self._online),
            "watched": len(self._watched),
            "watchers": len(self._watching),
            "pending": len(self._pending),
        }

    async def _visible(
        self, watcher: Watcher, user_ids: Sequence[int], question: _Question
    ) -> frozenset[int]:
        for _ in range(_MAX_QUESTIONS):
            question.in_doubt = False
            visible = (
                await self._directory.visible(watcher.speaker, user_ids) if user_ids else frozenset[int]()
            )
            if not question.in_doubt:
                return visible
        raise ServerBusy("who may be seen changes all the time", retry_after_ms=1000)

    def _watch(self, watcher: Watcher, user_ids: tuple[int, ...], stored: Mapping[int, int]) -> None:
        for user_id in user_ids:
            watched = self._watched.get(user_id)
            if watched is None:
                watched = self._watched[user_id] = _Watched(self._state(user_id, stored.get(user_id, 0)))
                if self._elsewhere is not None:
                    self._elsewhere.keep((user_id,))
            watched.watchers[watcher] = None
        self._release(watcher, set(self._watching.pop(watcher, ())).difference(user_ids))
        if user_ids:
            self._watching[watcher] = user_ids

    def _release(self, watcher: Watcher, user_ids: Iterable[int]) -> None:
        for user_id in user_ids:
            watched = self._watched[user_id]
            del watched.watchers[watcher]
            if not watched.watchers:
                del self._watched[user_id]
                self._pending.pop(user_id, None)
                if self._elsewhere is not None:
                    self._elsewhere.release((user_id,))

    def _state(self, user_id: int, last_seen_ms: int) -> PresenceState:
        """The user now; ``last_seen_ms`` is what is known besides."""
        devices = [Device(*session[1:]) for session in self._online.get(user_id, ())]
        routes = self._elsewhere.routes_of(user_id) if self._elsewhere is not None else ()
        if routes:
            devices += [Device(route.platform, route.since_ms) for route in routes]
            devices.sort(key=_since)
        if not devices:
            return PresenceState(user_id, last_seen_ms=max(last_seen_ms, self._seen.recent(user_id)))
        return PresenceState(user_id, online=True, devices=tuple(devices))

    def _as_told(self, user_id: int, stored: Mapping[int, int]) -> PresenceState:
        """What all watchers of the user know, so that a new one can be told the same as they from now on."""
        watched = self._watched.get(user_id)
        return self._state(user_id, stored.get(user_id, 0)) if watched is None else watched.told

    def _seen_elsewhere(self, user_id: int, at_ms: int) -> None:
        self._seen.note(user_id, at_ms, write=False)

    def _changed(self, user_id: int) -> None:
        if user_id in self._watched and user_id not in self._pending:
            self._pending[user_id] = self._clock.seconds() + self._merge_window_s
            self._look_again(self._merge_window_s)

    def _look_again(self, delay_s: float) -> None:
        """One timer for all: what is pending after the first is due later than that."""
        if self._timer is None:
            self._timer = self._clock.callLater(delay_s, self._tell_due)

    def _tell_due(self) -> None:
        self._timer = None
        now_s = self._clock.seconds()
        news: dict[Watcher, list[PresenceState]] = {}
        for user_id, due_s in list(islice(self._pending.items(), _TOLD_PER_TURN)):
            if due_s > now_s:
                self._look_again(max(due_s - now_s, _TICK_S))
                break
            del self._pending[user_id]
            self._gather(user_id, news)
        if self._pending:
            self._look_again(0)
        for watcher, states in news.items():
            # One that was told may have made another one leave.
            if watcher in self._watching:
                watcher.presence_changed(states)

    def _gather(self, user_id: int, news: dict[Watcher, list[PresenceState]]) -> None:
        """Put the user's state into the notices of all who do not know it."""
        watched = self._watched[user_id]
        state = self._state(user_id, watched.told.last_seen_ms)
        if state.looks_like(watched.told):
            self.flaps += 1
        else:
            for watcher in watched.watchers:
                news.setdefault(watcher, []).append(state)
        watched.told = state


def _since(device: Device) -> int:
    return device.since_ms
