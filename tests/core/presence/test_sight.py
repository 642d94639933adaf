"""Who may not see somebody any more stops seeing them."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.core.presence.model import PresenceState
from imd.core.presence.sight import Sight
from imd.kernel.errors import ServerBusy
from imd.kernel.tasks import Tasks
from tests.core.presence.world import ANN, BO, CY, WINDOW_S, Watch, World


class SightTests(SynchronousTestCase):
    """Ann and Cy watch Bo, who is there."""

    def setUp(self) -> None:
        self.world = World()
        self.presence, self.directory = self.world.presence, self.world.directory
        self.presence.session_online(BO, 10, "ios")
        self.ann, self.cy = Watch(ANN), Watch(CY)
        for watch in (self.ann, self.cy):
            self.successResultOf(self.world.ask(watch, BO, ANN, CY))
        self.directory.asked.clear()
        self.sight = Sight(
            presence=self.presence, directory=self.directory, clock=self.world.clock, tasks=Tasks()
        )

    def test_hidden(self) -> None:
        """Who blocks somebody looks to them like who does not exist, and what they do is not told any more."""
        self.directory.hidden = {BO}
        self.sight.changed(BO, [ANN])
        self.assertEqual(self.directory.asked, [(ANN, [BO])])
        self.assertEqual(self.ann.take(), [[PresenceState(BO)]])
        self.presence.session_offline(BO, 10)
        self.world.clock.advance(WINDOW_S)
        self.assertEqual((self.ann.take(), len(self.cy.take())), ([], 1))

    def test_either_way(self) -> None:
        """It is asked for both: also whom the one watches who blocks."""
        self.directory.hidden = {BO}
        self.sight.changed(ANN, [BO, 77])
        self.assertEqual(self.directory.asked, [(ANN, [BO])])
        self.assertEqual((self.ann.take(), self.cy.take()), ([[PresenceState(BO)]], []))

    def test_everybody(self) -> None:
        """Who hides from all is asked about for each who watches, and hidden where they have to be."""
        self.directory.hidden = {BO}
        self.sight.changed(BO, [])
        self.assertEqual(sorted(self.directory.asked), [(ANN, [BO]), (CY, [BO])])
        self.assertEqual((self.ann.take(), self.cy.take()), ([[PresenceState(BO)]], [[PresenceState(BO)]]))

    def test_still_seen(self) -> None:
        """Who may go on is told nothing, and goes on."""
        self.sight.changed(BO, [ANN])
        self.assertEqual(self.ann.take(), [])
        self.presence.session_offline(BO, 10)
        self.world.clock.advance(WINDOW_S)
        self.assertEqual(len(self.ann.take()), 1)

    def test_nobody_watches(self) -> None:
        """A change between others costs no question."""
        self.sight.changed(77, [78])
        self.sight.changed(78, [])
        self.assertEqual(self.directory.asked, [])

    def test_no_answer(self) -> None:
        """While business does not answer it is asked again; in the end nobody sees what may not be theirs."""
        self.directory.busy = True
        self.sight.changed(BO, [ANN])
        for delay_s in (0.5, 2.0):
            self.assertEqual(self.ann.take(), [])
            self.world.clock.advance(delay_s)
        self.assertEqual(self.ann.take(), [])
        self.world.clock.advance(5.0)
        self.assertEqual(self.ann.take(), [[PresenceState(BO)]])
        self.assertEqual(len(self.directory.asked), 4)

    def test_answers_again(self) -> None:
        """Business that comes back in time is believed."""
        self.directory.busy = True
        self.sight.changed(BO, [ANN])
        self.directory.busy = False
        self.world.clock.advance(0.5)
        self.assertEqual(self.ann.take(), [])

    def test_while_subscribing(self) -> None:
        """What business said before the change is not believed: it is asked once more."""
        dora = Watch(4)
        self.directory.gate = Deferred()
        asking = self.world.ask(dora, BO)
        self.directory.hidden = {BO}
        self.sight.changed(BO, [4])
        gate, self.directory.gate = self.directory.gate, None
        gate.callback(None)
        self.assertEqual(self.successResultOf(asking), [PresenceState(BO)])
        self.assertEqual(self.directory.asked, [(4, (BO,)), (4, (BO,))])

    def test_changes_all_the_time(self) -> None:
        """Who subscribes while everything changes is asked to try again, and watches what they did before."""
        real = self.directory.visible

        async def visible(*asked: object) -> frozenset[int]:
            self.presence.doubt()
            return await real(*asked)  # type: ignore[arg-type]

        self.patch(self.directory, "visible", visible)
        self.failureResultOf(self.world.ask(self.ann, CY), ServerBusy)
        self.assertEqual(self.presence.counts()["watchers"], 2)

    def test_many(self) -> None:
        """However many watch somebody, some are asked about at a time, and all in the end."""
        crowd = [Watch(100 + number) for number in range(50)]
        for watch in crowd:
            self.successResultOf(self.world.ask(watch, BO))
        self.directory.asked.clear()
        self.directory.hidden, gate = {BO}, Deferred[None]()
        self.directory.gate = gate
        self.sight.changed(BO, [])
        self.assertEqual(len(self.directory.asked), 16)
        self.directory.gate = None
        gate.callback(None)
        self.assertEqual(len(self.directory.asked), 52)
        self.assertEqual(sum(watch.take() == [[PresenceState(BO)]] for watch in crowd), 50)
