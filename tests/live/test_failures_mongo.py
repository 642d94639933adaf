"""MongoDB fails under load: nothing is said to be stored that is not, and nothing is stored twice."""

from __future__ import annotations

from tests.live.failing import FAULT_S, LONG, PASSWORD, FailureCase
from tests.live.standalone_client import Rest


class MongoFailures(FailureCase):
    """Down, slow, flapping, partitioned."""

    def test_down(self) -> None:
        """Killed: no STORED while it is away; connections stay, passwords open logins, who connects tries again."""
        with self.load() as load:
            cut = load.count("cut")
            self.ground.cluster.mongo.kill()
            load.run_for(2)
            self.assertEqual(load.gained(FAULT_S), 0)
            self.assertIn(self.login(self.ground.cores[0]), ("", "SERVER_BUSY"))
            person = self.ground.town.next()
            Rest(self.ground.business[0].http_url).login(person.account.handle, PASSWORD, "phone")
            self.assertEqual(load.count("cut"), cut)

    def test_slow(self) -> None:
        """Each way takes its time; in the long form writes run into their time-out and are in doubt."""
        with self.load() as load:
            self.ground.fault("slow", self.ground.links("mongo"), delay_s=2.6 if LONG else 0.5)
            load.run_for(FAULT_S)

    def test_flapping(self) -> None:
        """Away and there by turns, in the middle of writes."""
        with self.load() as load:
            self.ground.fault("flap", self.ground.links("mongo"), on_s=0.8, off_s=0.8)
            load.run_for(FAULT_S * 1.5)

    def test_partitioned(self) -> None:
        """One node of two is cut off from it, its connections seem alive: the other one goes on."""
        with self.load() as load:
            self.ground.fault("stall", self.ground.links("mongo", self.ground.cores[0]))
            load.run_for(2)
            self.assertTrue(load.gains(20, over_s=FAULT_S * 2))
