"""Who is sent where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.business.gateways.model import MAX_ANSWERS, MAX_LOAD, Gateway, rank

IDLE = Gateway("", True, 0, 1000, 0.0, "", "", "", frozenset(), 100)
CALLERS = 4000


def gateway(name: str, **changes: object) -> Gateway:
    """An idle one, but for ``changes``."""
    return IDLE._replace(tcp=f"tcp://{name}:7700", **changes)  # type: ignore[arg-type]


GATEWAYS = st.lists(
    st.builds(
        Gateway,
        zone=st.sampled_from(["", "a", "b"]),
        ready=st.booleans(),
        connections=st.integers(0, 1100),
        max_connections=st.integers(0, 1000),
        load=st.floats(0, 1),
        tcp=st.sampled_from(["", "tcp://a", "tcp://b", "tcp://c", "tcp://d", "tcp://e"]),
        tls=st.just(""),
        ws=st.just(""),
        version_labels=st.frozensets(st.sampled_from(["1", "2"])),
        weight=st.integers(0, 100),
    ),
    max_size=8,
)


def shares(gateways: Iterable[Gateway], *, version: str = "") -> Counter[str]:
    """How many of ``CALLERS`` callers are sent to each first."""
    known = list(gateways)
    first = [rank(known, caller=f"device{n}", version=version)[:1] for n in range(CALLERS)]
    return Counter(each.tcp.split("/")[2].split(":")[0] for found in first for each in found)


class Properties(SynchronousTestCase):
    """What holds whatever the nodes report."""

    @given(GATEWAYS, st.text(), st.sampled_from(["", "a", "b"]), st.sampled_from(["", "1", "2"]))
    def test_answer(self, gateways: list[Gateway], caller: str, zone: str, version: str) -> None:
        """A few distinct addresses, none of a node that cannot take the caller; the caller's zone first."""
        found = rank(gateways, caller=caller, zone=zone, version=version)
        self.assertLessEqual(len(found), MAX_ANSWERS)
        self.assertEqual(len({each.addresses for each in found}), len(found))
        for each in found:
            self.assertTrue(each.ready)
            self.assertTrue(any(each.addresses))
            self.assertGreater(each.weight, 0)
            self.assertLess(each.load, MAX_LOAD)
            self.assertLess(each.connections, each.max_connections)
            self.assertTrue(not each.version_labels or version in each.version_labels)
        if zone:
            foreign = [each.zone != zone for each in found]
            self.assertEqual(foreign, sorted(foreign))

    @given(GATEWAYS, st.text(), st.randoms())
    def test_order_of_reports(self, gateways: list[Gateway], caller: str, random: object) -> None:
        """Whose report came first changes nothing for nodes with an address of their own."""
        known = list({each.addresses: each for each in gateways}.values())
        found = rank(known, caller=caller)
        random.shuffle(known)  # type: ignore[attr-defined]
        self.assertEqual(rank(known, caller=caller), found)

    @given(GATEWAYS, st.text(), st.integers(0, 7))
    def test_one_goes(self, gateways: list[Gateway], caller: str, index: int) -> None:
        """When a node goes, only the callers that were sent there are sent elsewhere."""
        known = list({each.addresses: each for each in gateways}.values())
        first = rank(known, caller=caller)[:1]
        gone = known[index % len(known)] if known else None
        if gone is not None and first and first[0] != gone:
            known.remove(gone)
            self.assertEqual(rank(known, caller=caller)[:1], first)


class Shares(SynchronousTestCase):
    """How callers spread."""

    def near(self, found: Counter[str], name: str, share: float) -> None:
        self.assertLess(abs(found[name] / CALLERS - share), 0.04)

    def test_alike(self) -> None:
        """Nodes that are alike share the callers evenly."""
        found = shares([gateway("a"), gateway("b"), gateway("c"), gateway("d")])
        for name in "abcd":
            self.near(found, name, 0.25)

    def test_by_score(self) -> None:
        """Connections, load and weight count alike, and a node that is new gets more, but not everybody."""
        for changes in ({"connections": 750}, {"load": 0.75}, {"weight": 25}):
            found = shares([gateway("new"), gateway("old", **changes)])
            self.near(found, "old", 0.2)

    def test_zone(self) -> None:
        """The zone of the caller comes first however much is free elsewhere."""
        near, far = gateway("near", zone="a", load=0.9), gateway("far", zone="b")
        for n in range(50):
            self.assertEqual(rank([far, near], caller=str(n), zone="a"), [near, far])

    def test_gray_release(self) -> None:
        """Labelled nodes take clients of that label only: the share that their weight gives them."""
        town = [gateway("gray", version_labels=frozenset({"2.1"}), weight=10), gateway("rest", weight=90)]
        found = shares(town, version="2.1")
        self.near(found, "gray", 0.1)
        self.near(found, "rest", 0.9)
        for version in ("", "2.0", "2.10"):
            self.assertEqual(shares(town, version=version)["gray"], 0)

    def test_workers_of_one_port(self) -> None:
        """Workers behind one address are one answer, with the room and the weight of all of them."""
        workers = [gateway("a", connections=count) for count in (0, 500, 1000)]
        draining = gateway("a", ready=False)
        (found,) = rank([*workers, draining], caller="x")
        self.assertEqual((found.connections, found.max_connections, found.weight), (1500, 3000, 300))

    def test_overloaded(self) -> None:
        """Nobody is sent to a node without time or room; if there is no other, nobody is sent anywhere."""
        full = [gateway("a", load=0.96), gateway("b", connections=990), gateway("c", weight=0)]
        self.assertEqual(rank(full, caller="x"), [])
        self.assertEqual([each.tcp for each in rank([*full, gateway("d")], caller="x")], ["tcp://d:7700"])
