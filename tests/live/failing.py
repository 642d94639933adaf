"""A cluster in which things fail under load, and what its clients must have seen in the end.

All parts of the tests in ``test_failures_*`` meet here: one cluster for all of them, each engine behind
a proxy for each node; load with counts of what clients saw; the check at the end. The short form runs
in CI; $IMD_LONG=1 makes the same tests hold each fault for 20 s and more.
"""

from __future__ import annotations

import atexit
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from pymongo import MongoClient
from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.cluster.cluster import Cluster
from imd.ctl.cluster.engine import Engine, free_port
from imd.ctl.cluster.node import Node
from tests.dialogue.town import PASSWORD, Town
from tests.live.cluster import new_cluster, town_of
from tests.live.failing_load import Load
from tests.live.proxies import Proxies
from tests.live.server import Settings
from tests.live.standalone_wire import ConnectionLost, TcpWire

LONG = os.environ.get("IMD_LONG") == "1"
#: How long a fault lasts, and how long the load runs before it and after it.
FAULT_S = 20.0 if LONG else 4.0
BEFORE_S = 4.0 if LONG else 1.5
AFTER_S = 6.0 if LONG else 1.5
#: From healing to every device holding everything: what is promised.
CONVERGE_S = 60.0
#: For what is sure to happen on a busy machine.
PATIENCE_S = 60.0
#: For a newcomer, where somebody can judge the token: a question to a busy machine may take too long once.
COMES_IN_S = 10.0
_POLL_S = 0.1
#: Of one mistake that a node has logged, enough to find it.
_TRACEBACK_LINES = 30

#: Which engines a role uses.
USES = {"core": ("nats", "redis", "mongo"), "business": ("nats", "mariadb"), "admin": ("nats", "mariadb")}
#: Beats and looks for lost tails come faster than on real nodes, so that tests need not wait for them.
SETTINGS: Settings = {
    "limits": {
        "user_text_per_min": 0,
        "user_media_per_min": 0,
        "conversation_per_s": 0,
        "device_frames_per_s": 0,
        "ip_frames_per_s": 0,
        "ip_connects_per_s": 0,
        "logins_per_min": 0,
        "registrations_per_hour_per_ip": 0,
    },
    "node": {"heartbeat_interval_s": 1.0},
    "messages": {"sweep_interval_s": 5.0},
    "gateway": {"drain_timeout_s": 8.0},
}
#: Of what devices got to hold, how much may be pushed to them again, and after a later one: where what is between
#: the nodes fails, or who owns what changes, and elsewhere. Measured at most 1 % and 14 %, on a machine that is busy
#: with much else 7 %, and elsewhere none at all.
AGAIN_SHARE, LATE_SHARE = 0.2, 0.33
QUIET_SHARE = 0.01
#: People whom a cluster has for all its tests.
_INHABITANTS = 3000


class Ground:
    """The cluster, and what fails in it; blocking calls.

    :param proxied: whether there are proxies; a replica set of three has none.
    """

    _shared: ClassVar[dict[str, Self]] = {}

    def __init__(self, *, proxied: bool = True, **layout: Any) -> None:
        self.proxies: Proxies | None = None
        self.cluster = new_cluster(SETTINGS, prepare=self._proxy if proxied else None, **layout)
        if proxied:
            # The name of the only member in its own set: it needs it to start, and nodes must not get past
            # their own proxies by it.
            self.fault("down", ["mongo"])
        self.town: Town = town_of(self.cluster, inhabitants=_INHABITANTS)

    @classmethod
    def of(cls, kind: str, **how: Any) -> Self:
        """The one of this kind, shared by all tests and ended with the process."""
        if kind not in cls._shared:
            cls._shared[kind] = cls(**how)
        return cls._shared[kind]

    def _proxy(self, cluster: Cluster) -> None:
        ports = {name: engine.port for name, engine in cluster.engines.items()}
        targets = {
            f"{node.name}/{engine}": ports[engine]
            for node in cluster.nodes.values()
            for engine in USES[node.role]
        }
        self.proxies = Proxies(targets | {"mongo": ports["mongo"]})
        atexit.register(self.proxies.close)
        cluster.through.update(self.proxies.ports)

    # What is there

    @property
    def cores(self) -> list[Node]:
        return self.cluster.of_role("core")

    @property
    def business(self) -> list[Node]:
        return self.cluster.of_role("business")

    def links(self, engine: str, *nodes: Node) -> list[str]:
        """The proxies between these nodes, or all, and an engine."""
        return [
            f"{node.name}/{engine}"
            for node in nodes or self.cluster.nodes.values()
            if engine in USES[node.role]
        ]

    def fault(self, do: str, links: Iterable[str], **how: float) -> None:
        """Have these proxies do something: a method of ``FaultProxy``."""
        assert self.proxies is not None
        self.proxies.tell(do, *links, **how)

    def restart(self, engine: Engine) -> None:
        """Start what was killed, with the data it had."""
        if engine.name == "mongo" and self.proxies is not None:
            self.proxies.tell("heal", "mongo")
            engine.start()
            self.proxies.tell("down", "mongo")
        else:
            engine.start()

    def heal(self) -> None:
        """All proxies pass on, all that was stopped or killed runs again; returns when all nodes take traffic."""
        if self.proxies is not None:
            self.fault("heal", [name for name in self.proxies.ports if name != "mongo"])
        for engine in self.cluster.engines.values():
            engine.resume()
            if not engine.running:
                self.restart(engine)
        mongo = self.cluster.mongo
        for index, member in enumerate(mongo.processes):
            if not member.running:
                mongo.start_member(index)
        for node in self.cluster.nodes.values():
            node.resume()
            if not node.running:
                node.launch()
        for node in self.cluster.nodes.values():
            node.wait_ready()

    def namesake(self, node: Node) -> Node:
        """A second process of this core node, as a wrong configuration makes one, on ports of its own; not started."""
        folder = self.cluster.folder / "namesake"
        folder.mkdir(exist_ok=True)
        ports = {what: free_port() for what in node.ports}
        second = Node(name=node.name, folder=folder, ports=ports, outlives=False, drain_timeout_s=8)
        self.cluster.configuration.write(second)
        return second

    def log(self, node: Node) -> str:
        """All that it has said."""
        return node.process.log_file.read_text(errors="replace")

    def tracebacks(self, read_bytes: dict[str, int]) -> list[str]:
        """What nodes have logged of mistakes of ours, each from so much of its log on; ``read_bytes`` goes on to its end."""
        found = []
        for node in self.cluster.nodes.values():
            with node.process.log_file.open("rb") as file:
                file.seek(read_bytes.get(node.name, 0))
                said = file.read()
            read_bytes[node.name] = read_bytes.get(node.name, 0) + len(said)
            lines = said.decode(errors="replace").splitlines()
            found += [
                f"{node.name}: " + "\n".join(lines[max(0, number - 1) : number + _TRACEBACK_LINES])
                for number, line in enumerate(lines)
                if line.lstrip().startswith("Traceback (most recent call last)")
            ]
        return found

    # What the database holds

    def holes(self, conversations: Iterable[str]) -> list[str]:
        """Conversations whose seqs are not 1, 2, 3, ...; read from the database itself."""
        stored: dict[str, list[int]] = {name: [] for name in conversations}
        mongo = self.cluster.mongo
        client: MongoClient[dict[str, Any]] = MongoClient(
            mongo.host,
            mongo.ports[mongo.primary()],
            directConnection=True,
            username=mongo.root_user,
            password=mongo.root_password,
        )
        with client:
            database = client[mongo.database]
            for name in database.list_collection_names(filter={"name": {"$regex": r"^message_\d+$"}}):
                for found in database[name].find({"c": {"$in": list(stored)}}, {"c": 1, "s": 1}):
                    stored[found["c"]].append(found["s"])
        return [name for name, seqs in stored.items() if sorted(seqs) != list(range(1, len(seqs) + 1))]


class FailureCase(SynchronousTestCase):
    """A test that starts load, breaks something, heals it, and has everything checked."""

    #: Whether what fails is between the nodes, or makes others own what it owned.
    nodes_fall_apart = False
    #: Of ``Ground.of``.
    kind = "two cores"
    how: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        self.ground: Ground = Ground.of(self.kind, **self.how)
        self.addCleanup(self.ground.heal)

    @contextmanager
    def load(self, *, ends_first: bool = False) -> Iterator[Load]:
        """Load for as long as the block takes; then everything is healed, and all must come out right.

        :param ends_first: nothing is sent after the healing that would show what was lost before.
        """
        ground = self.ground
        read_bytes: dict[str, int] = {}
        ground.tracebacks(read_bytes)
        load = Load(
            town=ground.town,
            mariadb=ground.cluster.mariadb,
            addresses=[(node.host, node.ports["tcp"]) for node in ground.cores],
        )
        try:
            load.start()
            load.run_for(BEFORE_S)
            self.assertGreater(load.stored, 0, "nothing is stored, and nothing has failed yet")
            yield load
            if ends_first:
                load.stop(within_s=CONVERGE_S)
                load.run_for(0.5)
            ground.heal()
            healed_s = time.monotonic()
            if not ends_first:
                load.run_for(AFTER_S)
            outcome = load.finish(within_s=CONVERGE_S - AFTER_S)
            outcome["converged_s"] = round(time.monotonic() - healed_s, 1)
            outcome["holes"] = ground.holes(load.conversations)
            outcome["tracebacks"] = ground.tracebacks(read_bytes)
        finally:
            load.close()
        load.outcome = outcome
        _record(self.id(), outcome)
        self.check(outcome)

    def check(self, outcome: dict[str, Any]) -> None:
        """Nothing lost, doubled or reordered, and everybody is done.

        That is strict for what an application sees: a client applies the contiguous prefix by ``seq``, so each
        message once, in order (protocol/README.rst, Ordering). What it is pushed may come twice: after a break
        nodes tell each other once more what they told shortly before it. And late: what was on its way over a
        slow link, or from the owner of before, is overtaken by what the next owner tells. Both stay within a
        share of all, and whatever comes again at a ``seq`` must be the same message, or it is counted as doubled.
        """
        told = json.dumps(outcome, indent=1)
        self.assertEqual(outcome["tracebacks"], [], told)
        again, late = (AGAIN_SHARE, LATE_SHARE) if self.nodes_fall_apart else (QUIET_SHARE, QUIET_SHARE)
        self.assertLessEqual(outcome["pushed_again"], again * outcome["delivered"], told)
        self.assertLessEqual(outcome["pushed_late"], late * outcome["delivered"], told)
        outcome["duplicated"] -= outcome["pushed_again"]
        outcome["reordered"] -= outcome["pushed_late"]
        for wrong in ("lost", "duplicated", "reordered", "unsettled"):
            self.assertEqual(outcome[wrong], 0, f"{wrong}: {told}")
        self.assertEqual(outcome["holes"], [], told)
        self.assertEqual(outcome["refused"], 0, told)
        self.assertEqual(outcome["stored"], outcome["sent"], told)
        self.assertLessEqual(outcome["converged_s"], CONVERGE_S + AFTER_S, told)

    def wait_for(self, happened: Callable[[], bool], what: str, *, load: Load | None = None) -> None:
        """Return when it has happened; the load goes on meanwhile."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not happened():
            if time.monotonic() > deadline_s:
                raise AssertionError(f"no {what} within {PATIENCE_S:g} s")
            if load is None:
                time.sleep(_POLL_S)
            else:
                load.run_for(_POLL_S)

    def wait_ready(self, node: Node, load: Load) -> None:
        """Return when it takes traffic."""
        self.wait_for(lambda: not node.missing(), f"readiness of {node.name}", load=load)

    def wait_end(self, node: Node, load: Load) -> None:
        """Return when its process is gone."""
        self.wait_for(lambda: not node.running, f"end of {node.name}", load=load)

    # Somebody who comes while things are broken

    def login(self, node: Node, *, patience_s: float = 15.0) -> str:
        """Come with a good token; "" if let in, or the code of the refusal, "closed", "silence"."""
        town = self.ground.town
        person = town.next()
        try:
            wire = TcpWire(node.host, node.ports["tcp"])
        except ConnectionLost:
            return "closed"
        try:
            token = town.token(person, "phone")
            wire.send({"connect": {"token": token, "deviceId": "phone", "platform": "bot"}})
            answer = wire.receive(patience_s)
        except ConnectionLost:
            return "closed"
        finally:
            wire.close()
        if answer is None:
            return "silence"
        if "connected" in answer:
            return ""
        self.assertTrue(answer["error"].get("retryable"), answer)
        return str(answer["error"]["code"])

    def comes_in(self, node: Node) -> None:
        """Somebody is let in who tries again when told to, as clients do."""
        deadline_s = time.monotonic() + COMES_IN_S
        while refusal := self.login(node):
            self.assertLess(time.monotonic(), deadline_s, f"{node.name} lets nobody in: {refusal}")
            time.sleep(0.5)


def _record(name: str, outcome: dict[str, Any]) -> None:
    """A line in trial's folder, for people who want numbers."""
    line = {"test": name.removeprefix("tests.live.")} | {
        key: outcome[key]
        for key in ("stored", "cut", "retried", "waited_for", "pulled", "overlapping", "acked_twice", "resyncs",
                    "gaps", "hints", "pushed_again", "pushed_late", "told_to_leave", "converged_s", "lost", "duplicated", "reordered")
    }  # fmt: skip
    with Path("failures.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


__all__ = ["PASSWORD", "FailureCase", "Ground", "Load"]
