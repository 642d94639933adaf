"""Who talks with whom."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.client.load.crowd import Crowd, Person
from imd.client.load.options import parse
from imd.client.load.plan import WorkerPlan
from imd.client.load.topology import plans, wish


def _plans(*arguments: str) -> list[WorkerPlan]:
    options = parse(arguments)
    asked = wish(options)
    people = [Person(index + 1, "t", "d") for index in range(asked.users)]
    names = [f"c_{number}" for number in range(len(asked.conversations))]
    return plans(options, Crowd(people, names), addresses=[("127.0.0.1", 7700)])


class TopologyTests(SynchronousTestCase):
    """One plan a worker."""

    def test_pairs(self) -> None:
        """Both of a pair send, share one conversation, and are played by the same process."""
        for plan in _plans("p2p", "--connections", "8", "--workers", "2"):
            self.assertEqual(len(plan.devices), 4)
            for first, second in zip(plan.devices[::2], plan.devices[1::2], strict=True):
                self.assertEqual(first.conversations, second.conversations)
                self.assertTrue(first.sends and second.sends)

    def test_group(self) -> None:
        """One sends, all are in the same conversation."""
        (plan,) = _plans("group", "--connections", "50")
        self.assertEqual([device.index for device in plan.devices if device.sends], [0])
        self.assertEqual({tuple(device.conversations) for device in plan.devices}, {("c_0",)})
        self.assertTrue(plan.many_receivers)

    def test_rate_is_shared_by_senders(self) -> None:
        """The workers' rates add up to what was asked."""
        made = _plans("p2p", "--connections", "12", "--workers", "2", "--rate", "600")
        self.assertEqual([plan.rate_per_s for plan in made], [300, 300])

    def test_many_connections_come_from_many_addresses(self) -> None:
        """One address has too few ports for 50,000 connections."""
        (plan,) = _plans("idle", "--connections", "50000")
        self.assertEqual(plan.sources, ["127.0.0.1", "127.0.0.2", "127.0.0.3"])
