"""GET /api/v1/gateways of a real im-business, told by real im-core nodes over NATS."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from random import Random
from typing import Any

from twisted.internet import reactor  # noqa: TID251 -- real servers, on real time
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from imd.client.client import Client
from imd.client.rest import RestClient
from imd.ctl.cluster.node import Node
from imd.kernel.clocks import system_wall_clock
from tests.live.cluster import new_cluster

#: A change of readiness is told at once; the rest is a busy machine.
TOLD_WITHIN_S = 8.0


class Gateways(TestCase):
    """Two nodes; one of them drains and comes back, then the other one dies."""

    timeout = 240

    async def test_by_readiness(self) -> None:
        """Only nodes that take connections are answered; a client that knows REST alone finds them."""
        cluster = await deferToThread(new_cluster, {"node": {"zone": "east"}}, business=1, admins=0)
        self.addCleanup(deferToThread, cluster.kill)
        first, second = cluster.of_role("core")
        (business,) = cluster.of_role("business")
        both = {first.tcp_url, second.tcp_url}
        self.assertEqual(await self.answered(business, both), both)
        first.process.terminate()
        self.assertEqual(await self.answered(business, {second.tcp_url}), {second.tcp_url})
        await self.chat(business)
        await deferToThread(first.stop)
        await deferToThread(first.start)
        self.assertEqual(await self.answered(business, both), both)
        second.kill()
        await self.chat(business)

    async def answered(self, business: Node, expected: set[str]) -> set[str]:
        """What was answered last, waiting for what is expected."""
        return await deferToThread(_answered, business.http_url, expected)

    async def chat(self, business: Node) -> None:
        """Somebody registers, asks where to connect, and writes to themselves."""
        rest = RestClient(server=business.http_url, reactor=reactor)
        self.addCleanup(rest.close)
        name = f"user{time.monotonic_ns()}"
        login = await rest.register(name, "correct horse battery", device_id="phone")
        friend = await rest.register(f"{name}b", "correct horse battery", device_id="phone")

        async def token() -> str:
            return login.token

        client = Client(
            url=business.http_url,
            token_source=token,
            device_id="phone",
            reactor=reactor,
            random=Random(1),
            wall_clock=system_wall_clock,
        )
        self.addCleanup(client.stop)
        await client.start()
        sent = await client.send_text("found you", peer_user_id=friend.user_id)
        self.assertEqual(sent.seq, 1)
        await client.stop()


def _answered(url: str, expected: set[str]) -> set[str]:
    deadline_s = time.monotonic() + TOLD_WITHIN_S
    while True:
        found = _ask(url)
        if found == expected or time.monotonic() > deadline_s:
            return found
        time.sleep(0.1)


def _ask(url: str) -> set[str]:
    try:
        with urllib.request.urlopen(f"{url}/api/v1/gateways", timeout=5) as answer:
            told: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError:
        return set()
    return {each["tcp"] for each in told["gateways"]}
