"""Two nodes of im-business on one MariaDB and one NATS, as an operator starts them."""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.live.mariadb import new_database, secret_file
from tests.live.roles import RoleNode, role_node

#: How long an ended login may still be let in by a node that was not told by a client itself.
HEARD_WITHIN_S = 0.5


class Nodes(TestCase):
    """What is done at one holds at the other."""

    timeout = 180

    async def setUp(self) -> None:  # type: ignore[override]
        server = await deferToThread(new_database, self)
        shared = {
            "": {"token_secret_file": secret_file(self)},
            "sql": {"database": server.database},
            "limits": {"user_requests_per_s": 1000},
        }
        self.nodes: list[RoleNode] = [
            await role_node(self, "business", number=number, settings=shared) for number in (901, 902)
        ]
        # On an empty database, at the same time.
        await gatherResults([deferToThread(node.start) for node in self.nodes])

    async def ask(self, node: int, method: str, path: str, body: object = None, token: str = "") -> Any:
        return await deferToThread(self.nodes[node].ask, method, f"/api/v1{path}", body, token=token)

    async def test_one_system(self) -> None:
        """A token of one node is good at the other, until its login is ended at either: then at neither."""
        body = {"handle": "alice", "password": "correct horse battery", "deviceId": "phone"}
        status, session = await self.ask(0, "POST", "/register", body)
        self.assertEqual(status, 201, session)
        token = session["token"]
        for node in (0, 1):
            status, me = await self.ask(node, "GET", "/me", token=token)
            self.assertEqual((status, me.get("handle")), (200, "alice"))
        self.assertEqual((await self.ask(0, "POST", "/logout", token=token))[0], 200)
        ended_s = time.monotonic()
        while (await self.ask(1, "GET", "/me", token=token))[0] == 200:
            self.assertLess(time.monotonic() - ended_s, HEARD_WITHIN_S)
        status, _ = await self.ask(1, "POST", "/register", body)
        self.assertEqual(status, 400)
        self.assertEqual((await self.ask(1, "POST", "/login", body))[0], 200)

    async def test_new_login(self) -> None:
        """A login at one node is good at the other at once, whatever that has known of the user before."""
        body = {"handle": "bob", "password": "correct horse battery", "deviceId": "phone"}
        _, session = await self.ask(0, "POST", "/register", body)
        for number in range(3):
            self.assertEqual((await self.ask(1, "GET", "/me", token=session["token"]))[0], 200)
            _, other = await self.ask(0, "POST", "/login", {**body, "deviceId": f"laptop{number}"})
            self.assertEqual((await self.ask(1, "GET", "/me", token=other["token"]))[0], 200)
