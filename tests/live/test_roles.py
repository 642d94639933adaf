"""im-core, im-business and im-admin on real engines: they start, say what they lack, and end."""

from __future__ import annotations

import stat
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as _reactor  # noqa: TID251
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from imd.bus.nats import NatsBus
from imd.bus.subjects import ADMIN_CONFIG
from imd.config.engines import Nats
from imd.kernel.timeouts import sleep
from imd.pb.bus_pb2 import SettingsChanged
from imd.roles.bus import nats_bus
from tests.live.engines import engine, fresh
from tests.live.mariadb import new_database
from tests.live.roles import PATIENCE_S, RoleNode, role_node
from tests.live.standalone_wire import ConnectionLost, TcpWire

reactor: Any = _reactor

PASSWORD = "correct horse battery"


class Starts(TestCase):
    """From nothing to traffic and back."""

    async def test_core(self) -> None:
        """A core node says that it is ready, speaks its protocol, offers no REST, and ends with 0."""
        node = await role_node(self, "core")
        await deferToThread(node.start)
        self.assertEqual(await deferToThread(node.ask, "GET", "/healthz"), (200, {"alive": True}))
        self.assertEqual(await deferToThread(_pong, node), {"hb"})
        status = await deferToThread(_status, node, "/api/v1/users/me")
        self.assertEqual(status, 404)
        await self.ends(node)

    async def test_business(self) -> None:
        """A business node makes its tables, serves REST, offers no WebSocket, and ends with 0."""
        node = await role_node(self, "business")
        await deferToThread(node.start)
        body = {"handle": "roles_alice", "password": PASSWORD, "deviceId": "d1"}
        status, answer = await deferToThread(node.ask, "POST", "/api/v1/register", body)
        self.assertIn(status, (201, 409), answer)
        self.assertEqual(await deferToThread(_status, node, "/ws"), 404)
        await self.ends(node)

    async def ends(self, node: RoleNode) -> None:
        node.terminate()
        await deferToThread(node.wait_end)
        self.assertIn("Server Shut Down", node.log)
        self.assertNotIn("Traceback", node.log)
        self.assertNotIn("did not stop", node.log)


class Refusals(TestCase):
    """A role that cannot start says why, in one line, and ends with 1."""

    async def refused(self, role: str, *words: str, **how: Any) -> None:
        node = await role_node(self, role, **how)
        await deferToThread(node.launch)
        await deferToThread(node.wait_end)
        self.assertEqual(node.log.count("imd: "), 1, node.log)
        self.assertFalse("Traceback" in node.log, node.log)
        for word in words:
            self.assertIn(word, node.log)

    async def test_wrong_password_of_nats(self) -> None:
        """A bus that does not let us in is named, with what to look at."""
        await self.refused("business", "NATS", settings={"nats": {"user": "nobody"}})

    async def test_wrong_password_of_mariadb(self) -> None:
        """A database that does not let us in is named, with what to look at."""
        await self.refused("admin", "check user and password", settings={"sql": {"user": "nobody"}})

    async def test_wrong_replica_set(self) -> None:
        """A MongoDB of another name is not the one that was meant."""
        await self.refused("core", "MongoDB", "[mongo]", settings={"mongo": {"replica_set": "other"}})

    async def test_used_port(self) -> None:
        """A used port is named, after what was up has been stopped again."""
        first = await role_node(self, "business")
        await deferToThread(first.start)
        address = f"127.0.0.1:{first.node.ports['http']}"
        await self.refused("business", address, "[listen]", settings={"listen": {"http": address}}, number=2)


class Readiness(TestCase):
    """/readyz names what is missing, and is well again by itself."""

    async def missing(self, node: RoleNode, expected: set[str]) -> None:
        await deferToThread(node.wait_for, lambda: set(node.missing()) == expected, f"missing {expected}")

    async def test_bus(self) -> None:
        """Without the bus a node is alive and not ready; a newcomer is told to go elsewhere, politely."""
        nats = await deferToThread(fresh, self, "nats")
        node = await role_node(self, "core", engines={"nats": nats})
        await deferToThread(node.start)
        await deferToThread(nats.kill)
        await self.missing(node, {"bus"})
        self.assertEqual((await deferToThread(node.ask, "GET", "/healthz"))[0], 200)
        told = await deferToThread(_refusal, node)
        self.assertEqual((told["code"], told["retryable"], told["closing"]), ("SERVER_BUSY", True, True))
        await deferToThread(nats.start)
        await self.missing(node, set())

    async def test_replaced(self) -> None:
        """Whose node_id another process takes sends its clients there, and takes in nobody and nothing more."""
        nats = await deferToThread(fresh, self, "nats")
        how: Any = {
            "engines": {"nats": nats, "redis": await deferToThread(fresh, self, "redis")},
            "settings": {"node": {"heartbeat_interval_s": 1.0}},
        }
        first, second = [await role_node(self, "core", **how) for _ in range(2)]
        await deferToThread(first.start)
        await deferToThread(second.start)
        await self.missing(first, {"node_id"})
        with self.assertRaises(ConnectionLost):
            await deferToThread(_refusal, first)
        await deferToThread(second.node.stop)
        # Two heartbeats: that nobody else has the id any more changes nothing.
        await sleep(2.5, clock=reactor)
        await self.missing(first, {"node_id"})

    async def test_database(self) -> None:
        """A database that answers nothing is noticed, and when it answers again that, too."""
        mariadb = await deferToThread(engine, "mariadb")
        node = await role_node(self, "business")
        await deferToThread(node.start)
        self.addCleanup(mariadb.resume)
        mariadb.pause()
        await self.missing(node, {"database"})
        mariadb.resume()
        await self.missing(node, set())


class Settings(TestCase):
    """im-admin: settings are kept, checked, and told to all."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.nats = await deferToThread(fresh, self, "nats")
        database = (await deferToThread(new_database, self)).database
        self.admin = await role_node(
            self, "admin", engines={"nats": self.nats}, settings={"sql": {"database": database}}
        )
        await deferToThread(self.admin.start)
        token_file = self.admin.configuration.operator_token_file
        self.token = token_file.read_text().strip()
        self.assertEqual(stat.S_IMODE(token_file.stat().st_mode), 0o600)

    async def ask(self, method: str, body: object = None, *, token: str | None = None) -> tuple[int, Any]:
        token = self.token if token is None else token
        return await deferToThread(self.admin.ask, method, "/api/v1/settings", body, token=token)

    async def test_published(self) -> None:
        """Who listens, and who comes later, hears the newest version; a core node notes it."""
        heard: list[SettingsChanged] = []

        async def hear(_: str, payload: bytes) -> None:
            heard.append(SettingsChanged.FromString(payload))

        change = {"basedOn": 0, "comment": "a sale", "settings": {"limits": {"user_burst": 60}}}
        status, answer = await self.ask("PUT", change)
        self.assertEqual((status, answer["version"], answer["published"]), (200, 1, True), answer)
        bus = await self.bus()
        bus.consume(ADMIN_CONFIG, "core-1", hear)
        core = await role_node(self, "core", number=2, engines={"nats": self.nats})
        await deferToThread(core.start)
        await self.until(lambda: bool(heard))
        self.assertEqual((heard[0].version, heard[0].document), (1, '{"limits": {"user_burst": 60}}'))
        await deferToThread(core.wait_for, lambda: "settings version 1 is in force" in core.log, "note")

    async def test_kept(self) -> None:
        """Settings outlive the process; a bus that was away hears of them when it is back."""
        await deferToThread(self.nats.kill)
        status, answer = await self.ask("PUT", {"basedOn": 0, "settings": {"limits": {"user_burst": 9}}})
        self.assertEqual((status, answer["published"]), (200, False), answer)
        await deferToThread(self.admin.process.kill)
        await deferToThread(self.nats.start)
        await deferToThread(self.admin.start)
        await deferToThread(
            self.admin.wait_for,
            lambda: self.admin.ask("GET", "/api/v1/settings", token=self.token)[1]["published"],
            "publication",
        )
        status, answer = await self.ask("GET")
        self.assertEqual((answer["version"], answer["settings"]), (1, {"limits": {"user_burst": 9}}))

    async def test_refused(self) -> None:
        """No token, a wrong one, unknown keys, another's change in between: each is refused and changes nothing."""
        for token in ("", "x" * 64):
            self.assertEqual((await self.ask("GET", token=token))[0], 401)
        wrong = {"basedOn": 0, "settings": {"nats": {"user": "x"}, "limits": {"user_burst": 0, "users": 1}}}
        status, answer = await self.ask("PUT", wrong)
        self.assertEqual(status, 400)
        self.assertEqual(
            [reason.partition(": ")[0] for reason in answer["error"]["reasons"]],
            ["nats", "limits.users", "limits.user_burst"],
        )
        self.assertEqual((await self.ask("PUT", {"basedOn": 0, "settings": {}}))[0], 200)
        status, answer = await self.ask("PUT", {"basedOn": 0, "settings": {"limits": {"user_burst": 5}}})
        self.assertEqual((status, answer["error"]["field"]), (409, "basedOn"))
        self.assertEqual((await self.ask("GET"))[1]["settings"], {})

    async def bus(self) -> NatsBus:
        password_file = self.admin.folder / "nats-core"
        password_file.write_text(self.nats.passwords["core"])
        password_file.chmod(0o600)
        section = Nats(servers=[f"nats://{self.nats.address}"], user="core", password_file=str(password_file))
        bus = nats_bus(section, name="test", reactor=reactor)
        await bus.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(bus.stop()))
        return bus

    async def until(self, happened: Callable[[], bool]) -> None:
        deadline_s = reactor.seconds() + PATIENCE_S
        while not happened():
            self.assertLess(reactor.seconds(), deadline_s)
            await sleep(0.05, clock=reactor)


def _pong(node: RoleNode) -> set[str]:
    wire = TcpWire("127.0.0.1", node.node.ports["tcp"])
    try:
        wire.send({"hb": {"sentAt": 1}})
        answer = wire.receive(5)
        assert answer is not None
        return set(answer) - {"header"}
    finally:
        wire.close()


def _refusal(node: RoleNode) -> dict[str, Any]:
    wire = TcpWire("127.0.0.1", node.node.ports["tcp"])
    try:
        wire.send({"connect": {"token": "x", "deviceId": "d", "platform": "bot"}})
        answer = wire.receive(5)
        assert answer is not None
        error: dict[str, Any] = answer["error"]
        return error
    finally:
        wire.close()


def _status(node: RoleNode, path: str) -> int:
    try:
        with urllib.request.urlopen(f"{node.http_url}{path}", timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
