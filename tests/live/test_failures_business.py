"""im-business and its database fail under load: conversations that are known go on, strangers wait."""

from __future__ import annotations

from tests.live.failing import FAULT_S, FailureCase, Load

#: What somebody may hear who comes while nobody can judge the token: try again.
TRY_AGAIN = ("SERVER_BUSY", "closed")


class _LivesOn(FailureCase):
    def goes_on(self, load: Load) -> None:
        """Live conversations take no notice."""
        cut = load.count("cut")
        load.run_for(2)
        self.assertTrue(load.gains(100, "delivered", over_s=FAULT_S))
        self.assertEqual(load.count("cut"), cut)


class BusinessFailures(_LivesOn):
    """Down, slow, flapping, partitioned."""

    def test_down(self) -> None:
        """Both killed: live conversations go on; who comes is told to try again, and is let in after."""
        with self.load() as load:
            for node in self.ground.business:
                node.kill()
            self.goes_on(load)
            self.assertIn(self.login(self.ground.cores[0]), TRY_AGAIN)
        self.comes_in(self.ground.cores[0])

    def test_one_down(self) -> None:
        """One of two killed: the other one does it all, at once."""
        with self.load() as load:
            self.ground.business[0].kill()
            self.goes_on(load)
            for node in self.ground.cores * 2:
                self.comes_in(node)

    def test_slow(self) -> None:
        """Everything that they say and hear takes a second longer."""
        with self.load() as load:
            links = [
                link
                for engine in ("nats", "mariadb")
                for link in self.ground.links(engine, *self.ground.business)
            ]
            self.ground.fault("slow", links, delay_s=0.5)
            self.goes_on(load)

    def test_flapping(self) -> None:
        """Stopped and let go on by turns, one after the other."""
        first, second = self.ground.business
        with self.load() as load:
            for _ in range(max(2, int(FAULT_S / 2))):
                for node, other in ((first, second), (second, first)):
                    node.pause()
                    other.resume()
                    load.run_for(1)
            self.goes_on(load)

    def test_partitioned(self) -> None:
        """Both cut off from the bus, their connections seem alive: as if they were down."""
        with self.load() as load:
            self.ground.fault("stall", self.ground.links("nats", *self.ground.business))
            self.goes_on(load)
            self.assertIn(self.login(self.ground.cores[0]), TRY_AGAIN)
        self.comes_in(self.ground.cores[0])


class MysqlFailures(_LivesOn):
    """Down, slow, flapping, partitioned."""

    def test_down(self) -> None:
        """Killed: live conversations go on; who comes is told to try again, and is let in after."""
        with self.load() as load:
            self.ground.cluster.mariadb.kill()
            self.goes_on(load)
            self.assertIn(self.login(self.ground.cores[0]), TRY_AGAIN)
        self.comes_in(self.ground.cores[0])

    def test_slow(self) -> None:
        """Each way takes half a second."""
        with self.load() as load:
            self.ground.fault("slow", self.ground.links("mariadb"), delay_s=0.5)
            self.goes_on(load)

    def test_flapping(self) -> None:
        """Away and there by turns."""
        with self.load() as load:
            self.ground.fault("flap", self.ground.links("mariadb"), on_s=1, off_s=1)
            self.goes_on(load)

    def test_partitioned(self) -> None:
        """Cut off, while the connections seem alive: as if it were down."""
        with self.load() as load:
            self.ground.fault("stall", self.ground.links("mariadb", *self.ground.business))
            self.goes_on(load)
            self.assertIn(self.login(self.ground.cores[0]), TRY_AGAIN)
        self.comes_in(self.ground.cores[0])
