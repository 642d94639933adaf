"""The load of the failure tests: pairs and a group with clients on all nodes, counted by what they saw."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from imd.business.tables.groups import group_conversations, group_members
from imd.business.tables.people import direct_conversations
from imd.client.load import topology
from imd.client.load.crowd import Crowd, Person
from imd.client.load.fleet import Fleet
from imd.client.load.options import Options, parse
from imd.client.load.plan import Order
from imd.client.load.server import environment
from imd.ctl.cluster.engines import MariaDb
from imd.kernel.clocks import system_wall_clock
from imd.roles.seed import ConversationRows
from imd.storage.sql import insert_ignore
from imd.storage.sql_mysql import MysqlServer, open_mysql
from tests.dialogue.town import Town

_CONNECT_S = 60.0
#: More than a load process may take to look through what it counted.
_GRACE_S = 30.0
#: For what goes on all the same, on a machine that has much else to do.
_GAIN_PATIENCE_S = 30.0


class Scenario(NamedTuple):
    """Of ``tools/bench``."""

    name: str
    devices: int
    rate_per_s: int


#: Several messages under way at any time, and little for two cores. In the last one a single member writes: the others
#: see by nothing of their own that they miss something.
SCENARIOS = (Scenario("p2p", 20, 60), Scenario("one-conversation", 8, 20), Scenario("group", 6, 10))


class Load:
    """One run, by people whom nobody knows yet. Counts are at most a second old."""

    def __init__(self, *, town: Town, mariadb: MariaDb, addresses: Sequence[tuple[str, int]]) -> None:
        self._town = town
        self._mariadb = mariadb
        self._addresses = list(addresses)
        self._fleets: list[Fleet] = []
        self._stopped = False
        self.conversations: list[str] = []
        #: What was counted in the end, once that is known.
        self.outcome: dict[str, Any] = {}

    def start(self) -> None:
        """Return when all are connected, and send."""
        for scenario in SCENARIOS:
            options = _options(scenario)
            crowd = self._crowd(options)
            self.conversations += crowd.conversations
            plans = topology.plans(options, crowd, addresses=self._addresses)
            self._fleets.append(Fleet(plans, environment=environment(), on_progress=lambda *_: None))
        for fleet, scenario in zip(self._fleets, SCENARIOS, strict=True):
            fleet.order_all(Order(do="connect", count=scenario.devices, timeout_s=_CONNECT_S))
        for fleet, scenario in zip(self._fleets, SCENARIOS, strict=True):
            (report,) = fleet.wait_for("connected", timeout_s=_CONNECT_S + _GRACE_S)
            if report.counts["connected"] < scenario.devices:
                raise AssertionError(f"only {report.counts['connected']} connected: {report.errors}")
        for fleet in self._fleets:
            fleet.order_all(Order(do="go"))

    def _crowd(self, options: Options) -> Crowd:
        wish = topology.wish(options)
        people = [self._town.next() for _ in range(wish.users)]
        rows = ConversationRows([person.account for person in people], system_wall_clock())
        names = [rows.add(each) for each in wish.conversations]
        mariadb = self._mariadb
        engine = open_mysql(
            MysqlServer(mariadb.host, mariadb.port, mariadb.user, mariadb.password, mariadb.database),
            connections=1,
        )
        with engine.begin() as connection:
            insert_ignore(connection, direct_conversations, rows.direct)
            insert_ignore(connection, group_conversations, rows.groups)
            insert_ignore(connection, group_members, rows.members)
        engine.dispose()
        return Crowd(
            [Person(person.account.user_id, self._town.token(person, "phone"), "phone") for person in people],
            names,
        )

    def run_for(self, seconds: float) -> None:
        """Let it go on."""
        deadline_s = time.monotonic() + seconds
        for fleet in self._fleets:
            fleet.run_for(max(0.05, deadline_s - time.monotonic()))

    def count(self, name: str) -> int:
        """Of ``tally.Counts``: what was last reported."""
        return sum(fleet.counts().get(name, 0) for fleet in self._fleets)

    @property
    def stored(self) -> int:
        """How many sends were answered STORED."""
        return self.count("stored")

    def gained(self, seconds: float, name: str = "stored") -> int:
        """How many were counted in the next seconds."""
        before = self.count(name)
        self.run_for(seconds)
        return self.count(name) - before

    def gains(self, more: int, name: str = "stored", *, over_s: float) -> bool:
        """Whether more than that are counted while a fault lasts: so long, and on a busy machine a while longer."""
        before = self.count(name)
        deadline_s = time.monotonic() + over_s + _GAIN_PATIENCE_S
        self.run_for(over_s)
        while self.count(name) - before <= more and time.monotonic() < deadline_s:
            self.run_for(0.5)
        return self.count(name) - before > more

    def stop(self, *, within_s: float) -> None:
        """No more new sends; those that were begun have so long to be settled."""
        self._stopped = True
        for fleet in self._fleets:
            fleet.order_all(Order(do="stop", timeout_s=within_s))

    def finish(self, *, within_s: float) -> dict[str, Any]:
        """No more new sends; what was counted when all is settled and seen, or the time is over."""
        deadline_s = time.monotonic() + within_s
        if not self._stopped:
            self.stop(within_s=within_s)
        for fleet in self._fleets:
            fleet.wait_for("stopped", timeout_s=within_s + _GRACE_S)
        for fleet in self._fleets:
            left_s = max(1.0, deadline_s - time.monotonic())
            fleet.order_all(Order(do="check", timeout_s=left_s))
        outcome: dict[str, Any] = {"lost": 0, "unsettled": 0, "findings": [], "first_errors": []}
        for fleet in self._fleets:
            (final,) = fleet.wait_for("final", timeout_s=within_s + _GRACE_S)
            for name, count in final.counts.items():
                outcome[name] = outcome.get(name, 0) + count
            outcome["lost"] += final.lost
            outcome["unsettled"] += final.unsettled
            outcome["findings"] += final.findings
            outcome["first_errors"] += final.errors
        return outcome

    def close(self) -> None:
        """End its processes."""
        for fleet in self._fleets:
            fleet.close()
        self._fleets.clear()


def _options(scenario: Scenario) -> Options:
    # One load process each: both ends of every conversation are in it.
    given = {"--connections": scenario.devices, "--rate": scenario.rate_per_s, "--seconds": 60, "--jitter": 1}
    words = [word for name, value in given.items() for word in (name, str(value))]
    return parse([scenario.name, "--url", "127.0.0.1:1", *words])
