"""Merging flaps: whatever happens in whatever order, watchers learn the truth, and once."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.core.presence.model import Device, PresenceState
from tests.core.presence.world import BO, CY, WINDOW_S, Watch, World

USERS = (BO, CY)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("on"), st.sampled_from(USERS), st.integers(0, 2), st.sampled_from(["ios", "web"])),
        st.tuples(st.just("off"), st.sampled_from(USERS), st.integers(0, 2)),
        st.tuples(st.just("wait"), st.sampled_from([0.01, 0.5, 1.7, WINDOW_S, 10.0])),
        st.tuples(st.just("watch")),
        st.tuples(st.just("leave")),
    ),
    max_size=40,
)


class Watching:
    """One watcher, its first answer, and since when."""

    def __init__(self, answer: list[PresenceState], watch: Watch, since_s: float) -> None:
        self._answer = answer
        self.watch = watch
        self.since_s = since_s

    def told(self, user_id: int) -> list[PresenceState]:
        """All it heard of a user, first to last."""
        states = [state for states in (self._answer, *self.watch.notices) for state in states]
        return [state for state in states if state.user_id == user_id]


class Truth:
    """The same as presence, the simplest way."""

    def __init__(self) -> None:
        self._sessions: dict[int, dict[int, str]] = {user_id: {} for user_id in USERS}
        self._last_seen: dict[int, int] = dict.fromkeys(USERS, 0)

    def on(self, user_id: int, session_id: int, platform: str) -> None:
        self._sessions[user_id].setdefault(session_id, platform)

    def off(self, user_id: int, session_id: int, now_ms: int) -> None:
        if self._sessions[user_id].pop(session_id, None):
            self._last_seen[user_id] = now_ms

    def of(self, user_id: int) -> PresenceState:
        platforms = self._sessions[user_id].values()
        if not platforms:
            return PresenceState(user_id, last_seen_ms=self._last_seen[user_id])
        return PresenceState(user_id, online=True, devices=tuple(Device(name, 0) for name in platforms))


class MergeTests(SynchronousTestCase):
    """Sessions come and go, and so do watchers."""

    @given(STEPS)
    def test_truth_and_no_repeats(self, steps: list[tuple[Any, ...]]) -> None:
        """In the end every watcher knows the truth; nobody hears the same twice in a row, or too often."""
        world, truth = World(), Truth()
        watching = [self.begin(world)]
        for step in steps:
            match step:
                case ("on", user_id, session_id, platform):
                    world.presence.session_online(user_id, session_id, platform)
                    truth.on(user_id, session_id, platform)
                case ("off", user_id, session_id):
                    world.presence.session_offline(user_id, session_id)
                    truth.off(user_id, session_id, world.now_ms())
                case ("wait", delay_s):
                    world.clock.advance(delay_s)
                case ("watch",):
                    watching.append(self.begin(world))
                case ("leave",) if len(watching) > 1:
                    world.presence.unsubscribe(watching.pop().watch)
            self.assertLessEqual(len(world.clock.getDelayedCalls()), 1)
        world.clock.pump([WINDOW_S, 0.1, 0.1])
        for each in watching:
            longest = (world.clock.seconds() - each.since_s) / WINDOW_S + 2
            for user_id in USERS:
                told = each.told(user_id)
                self.assertTrue(told[-1].looks_like(truth.of(user_id)), (told, truth.of(user_id)))
                self.assertFalse(any(a.looks_like(b) for a, b in pairwise(told)), told)
                self.assertLessEqual(len(told), longest)

    def begin(self, world: World) -> Watching:
        watch = Watch()
        return Watching(self.successResultOf(world.ask(watch, *USERS)), watch, world.clock.seconds())
