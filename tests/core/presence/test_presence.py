"""Who is online, and who is told."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.core.presence.model import Device, PresenceState
from imd.kernel.errors import PayloadInvalid, ServerBusy
from tests.core.presence.world import BO, CY, STRANGER, WINDOW_S, Watch, World


class PresenceTests(SynchronousTestCase):
    """Ann watches Bo and Cy."""

    def setUp(self) -> None:
        self.world = World()
        self.presence = self.world.presence
        self.ann = Watch()

    def watch(self, *user_ids: int) -> list[PresenceState]:
        return self.successResultOf(self.world.ask(self.ann, *user_ids))

    def later(self, delay_s: float = WINDOW_S) -> list[list[PresenceState]]:
        self.world.clock.advance(delay_s)
        return self.ann.take()

    def test_answer(self) -> None:
        """The answer tells everybody's state, in the order of asking."""
        self.presence.session_online(BO, 10, "ios")
        self.world.clock.advance(1)
        self.presence.session_online(BO, 11, "web")
        states = self.watch(CY, BO)
        devices = (Device("ios", 1_000_000), Device("web", 1_001_000))
        self.assertEqual(states, [PresenceState(CY), PresenceState(BO, online=True, devices=devices)])

    def test_stranger(self) -> None:
        """Who may not be seen looks like who does not exist, now and later."""
        self.presence.session_online(STRANGER, 10, "ios")
        self.assertEqual(self.watch(STRANGER), [PresenceState(STRANGER)])
        self.presence.session_offline(STRANGER, 10)
        self.assertEqual(self.later(), [])
        self.assertEqual(self.watch(STRANGER), [PresenceState(STRANGER)])

    def test_change_is_told(self) -> None:
        """Coming and going are told at the end of the window, with the time of going."""
        self.watch(BO)
        self.presence.session_online(BO, 10, "ios")
        self.assertEqual(self.later(WINDOW_S - 0.01), [])
        online = PresenceState(BO, online=True, devices=(Device("ios", 1_000_000),))
        self.assertEqual(self.later(0.01), [[online]])
        self.presence.session_offline(BO, 10)
        self.assertEqual(self.later(), [[PresenceState(BO, last_seen_ms=1_003_000)]])

    def test_flap(self) -> None:
        """Who goes and comes back within the window is told to nobody."""
        self.presence.session_online(BO, 10, "ios")
        self.watch(BO)
        self.presence.session_offline(BO, 10)
        self.world.clock.advance(1)
        self.presence.session_online(BO, 11, "ios")
        self.assertEqual(self.later(10), [])
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_short_visit(self) -> None:
        """Who comes and goes within the window was seen, and that is told."""
        self.watch(BO)
        self.presence.session_online(BO, 10, "ios")
        self.world.clock.advance(1)
        self.presence.session_offline(BO, 10)
        self.assertEqual(self.later(), [[PresenceState(BO, last_seen_ms=1_001_000)]])

    def test_window_does_not_grow(self) -> None:
        """Who comes and goes all the time is told about once a window, not never."""
        self.watch(BO)
        self.presence.session_online(BO, 10, "ios")
        self.world.clock.advance(WINDOW_S - 1)
        self.presence.session_online(BO, 11, "web")
        self.assertEqual(len(self.later(1)), 1)

    def test_second_device(self) -> None:
        """Another device is a change; the user goes offline with the last one."""
        self.presence.session_online(BO, 10, "ios")
        self.watch(BO)
        self.presence.session_online(BO, 11, "web")
        ((state,),) = self.later()
        self.assertEqual([device.platform for device in state.devices], ["ios", "web"])
        self.presence.session_offline(BO, 10)
        ((state,),) = self.later()
        self.assertTrue(state.online)
        self.presence.session_offline(BO, 11)
        ((state,),) = self.later()
        self.assertFalse(state.online)

    def test_told_twice(self) -> None:
        """The same beginning or end twice changes nothing, nor does the end of what never began."""
        self.presence.session_offline(BO, 10)
        self.presence.session_online(BO, 10, "ios")
        self.world.clock.advance(1)
        self.presence.session_online(BO, 10, "ios")
        ((_, online, devices, _),) = self.watch(BO)
        self.assertEqual((online, devices), (True, (Device("ios", 1_000_000),)))
        self.presence.session_offline(BO, 10)
        self.world.clock.advance(1)
        self.presence.session_offline(BO, 10)
        self.assertEqual(self.later(), [[PresenceState(BO, last_seen_ms=1_001_000)]])

    def test_one_notice_one_timer(self) -> None:
        """Changes that are due together come in one notice, and all that is pending has one timer."""
        self.watch(BO, CY)
        self.presence.session_online(BO, 10, "ios")
        self.world.clock.advance(0.01)
        self.presence.session_online(CY, 11, "ios")
        self.assertEqual(len(self.world.clock.getDelayedCalls()), 1)
        self.world.clock.advance(WINDOW_S)
        self.world.clock.advance(0.1)
        self.assertEqual([state.user_id for notice in self.ann.take() for state in notice], [BO, CY])

    def test_many_changes(self) -> None:
        """A crowd that comes at once is told over several turns, and nobody is left out."""
        crowd = range(1000, 3500)
        world = World(max_watched=10_000)
        watch = Watch()
        self.successResultOf(world.ask(watch, *crowd))
        for user_id in crowd:
            world.presence.session_online(user_id, user_id, "ios")
        world.clock.advance(WINDOW_S)
        self.assertEqual([len(notice) for notice in watch.notices], [1000, 1000, 500])
        self.assertEqual({state.user_id for notice in watch.notices for state in notice}, set(crowd))

    def test_newcomer_hears_the_same(self) -> None:
        """Who asks while a change is pending is told what the others know, and then the change once."""
        self.watch(BO)
        self.presence.session_online(BO, 10, "ios")
        second = Watch()
        self.assertEqual(self.successResultOf(self.world.ask(second, BO)), [PresenceState(BO)])
        self.world.clock.advance(WINDOW_S)
        self.assertEqual(len(second.notices), 1)
        self.assertEqual(second.notices, self.ann.notices)

    def test_replaced(self) -> None:
        """A new list replaces the old one, an empty one ends it; nothing of it stays in memory."""
        self.watch(BO)
        self.watch(CY, CY)
        self.presence.session_online(BO, 10, "ios")
        self.presence.session_online(CY, 11, "ios")
        self.assertEqual([state.user_id for notice in self.later() for state in notice], [CY])
        self.assertEqual(self.watch(), [])
        self.assertEqual(self.presence.counts(), {"online": 2, "watched": 0, "watchers": 0, "pending": 0})

    def test_unsubscribe(self) -> None:
        """Who has gone is told nothing, not even what was pending."""
        self.watch(BO)
        self.presence.session_online(BO, 10, "ios")
        self.presence.unsubscribe(self.ann)
        self.presence.unsubscribe(self.ann)
        self.assertEqual(self.later(), [])
        self.assertEqual(self.presence.counts(), {"online": 1, "watched": 0, "watchers": 0, "pending": 0})

    def test_unsubscribe_while_asking(self) -> None:
        """Who goes before the directory has answered does not stay behind as a watcher."""
        self.world.directory.gate = Deferred()
        asked = self.world.ask(self.ann, BO)
        self.presence.unsubscribe(self.ann)
        self.world.directory.gate.callback(None)
        self.successResultOf(asked)
        self.assertEqual(self.presence.counts()["watchers"], 0)

    def test_later_list_wins(self) -> None:
        """When an older question is answered last, the newer list stays."""
        gate: Deferred[None] = Deferred()
        self.world.directory.gate = gate
        older = self.world.ask(self.ann, BO)
        self.world.directory.gate = None
        self.watch(CY)
        gate.callback(None)
        self.successResultOf(older)
        self.presence.session_online(BO, 10, "ios")
        self.presence.session_online(CY, 11, "ios")
        self.assertEqual([state.user_id for notice in self.later() for state in notice], [CY])

    def test_directory_down(self) -> None:
        """When the directory does not answer, the list before it stays."""
        self.watch(BO)
        self.world.directory.busy = True
        self.failureResultOf(self.world.ask(self.ann, CY), ServerBusy)
        self.presence.session_online(BO, 10, "ios")
        self.assertEqual(len(self.later()), 1)

    def test_too_many(self) -> None:
        """More users than the limit are refused before anybody is asked about them."""
        self.world.directory.busy = True
        self.failureResultOf(self.world.ask(self.ann, *range(6)), PayloadInvalid)

    def test_watcher_that_makes_another_leave(self) -> None:
        """A watcher that goes while others are told is not told itself."""
        presence, ann = self.presence, self.ann

        class Pushy(Watch):
            def presence_changed(self, states: Sequence[PresenceState]) -> None:
                presence.unsubscribe(ann)

        self.successResultOf(self.world.ask(Pushy(), BO))
        self.watch(BO)
        self.presence.session_online(BO, 10, "ios")
        self.assertEqual(self.later(), [])
