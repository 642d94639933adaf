"""From `twistd im` to a cluster, as its users and operators see it: they notice nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from twisted.internet import reactor  # noqa: TID251 -- real servers, on real time
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from imd.client.client import Client, ClientOptions
from imd.client.cursors import MemoryCursors
from imd.client.events import Event, MessageReceived
from imd.client.rest import Login, RestClient
from imd.config.load import load
from imd.config.sections import BusinessConfig
from imd.ctl.cluster.cluster import Cluster
from imd.kernel.clocks import system_wall_clock
from imd.kernel.timeouts import with_timeout
from tests.live.cluster import new_cluster
from tests.live.server import ROOT, running_server

PASSWORD = "correct horse battery"


class Device:
    """Somebody's phone: what it keeps over the move, and what it has heard."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self.cursors = MemoryCursors()
        self.heard: list[tuple[int, str]] = []
        self.client: Client
        self._waiting: tuple[int, Deferred[None]] | None = None

    async def connect(self, url: str) -> None:
        """With the token and the cursors that it has."""

        async def token() -> str:
            return self.login.token

        self.client = Client(
            url=url,
            token_source=token,
            device_id="phone",
            reactor=reactor,
            random=Random(1),
            wall_clock=system_wall_clock,
            on_event=self._on_event,
            cursors=self.cursors,
            options=ClientOptions(initial_history=None),
        )
        await self.client.start()

    async def leave(self) -> None:
        """Close the connection; may be called again."""
        await self.client.stop()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, MessageReceived):
            self.heard.append((event.message.seq, event.message.text))
            if self._waiting is not None and len(self.heard) >= self._waiting[0]:
                waiting, self._waiting = self._waiting[1], None
                waiting.callback(None)

    async def has_heard(self, count: int) -> list[tuple[int, str]]:
        """Everything, once it is so much."""
        if len(self.heard) < count:
            waiting: Deferred[None] = Deferred()
            self._waiting = (count, waiting)
            clock: Any = reactor
            await with_timeout(waiting, timeout_s=20, clock=clock)
        return self.heard


class Operator(NamedTuple):
    """Somebody with `imctl`, a server and a token."""

    url: str
    token_file: Path

    def types(self, *arguments: str) -> str:
        return _imctl(*arguments, "--server", self.url, "--token-file", str(self.token_file))

    def asks(self, *arguments: str) -> Any:
        return json.loads(self.types(*arguments, "--json"))


class Moving(TestCase):
    """Alice and Bob, before and after."""

    timeout = 240

    def setUp(self) -> None:
        self.token = Path(self.mktemp())

    async def test_nothing_noticed(self) -> None:
        """Tokens, groups, cursors and idempotency keys still hold; nobody hears anything twice or syncs anew."""
        server = await running_server(self)
        alice, bob = (
            await self.registered(server.http_url, "alice"),
            await self.registered(server.http_url, "bob"),
        )
        rest = self.rest(server.http_url, alice.login.token)
        group = (await rest.create_group("Fun", [bob.login.user_id])).conversation_id
        for device in (alice, bob):
            await device.connect(server.http_url)
        before = await alice.client.send_text("before", conversation_id=group, client_msg_id="the-first")
        await bob.has_heard(2)
        epochs = [device.cursors.epoch() for device in (alice, bob)]
        for device in (alice, bob):
            await device.leave()
        await deferToThread(
            self.before, Operator(server.http_url, server.data_dir / "secrets" / "operator.token")
        )
        await deferToThread(server.stop)

        cluster = await self.moved(server.data_dir)
        (business,) = cluster.of_role("business")
        for device in (alice, bob):
            await device.connect(business.http_url)
        self.assertEqual([device.cursors.epoch() for device in (alice, bob)], epochs)
        again = await alice.client.send_text("before", conversation_id=group, client_msg_id="the-first")
        self.assertEqual((again.seq, again.duplicate), (before.seq, True))
        after = await alice.client.send_text("after", conversation_id=group)
        self.assertEqual(after.seq, before.seq + 1)
        heard = await bob.has_heard(3)
        self.assertEqual([text for _, text in heard][1:], ["before", "after"])
        self.assertEqual([seq for seq, _ in heard], [1, before.seq, after.seq])
        for device in (alice, bob):
            await device.leave()
        await deferToThread(self.after, Operator(cluster.of_role("admin")[0].http_url, self.token))

    def before(self, first: Operator) -> None:
        """Settings are changed, and another operator is made."""
        first.types("settings", "set", "limits.user_text_per_min=77", "-m", "calm")
        first.types("operators", "add", "ops", "--role", "operator", "--out", str(self.token))

    def after(self, ops: Operator) -> None:
        """The operator's token is good, and all nodes run what was set."""
        self.assertEqual(ops.asks("settings", "get")["settings"], {"limits": {"user_text_per_min": 77}})
        deadline_s = time.monotonic() + 10
        while True:
            nodes = ops.asks("settings", "nodes")["nodes"]
            if [node["version"] for node in nodes] == [1] * 4:
                return
            self.assertLess(time.monotonic(), deadline_s, nodes)
            time.sleep(0.1)

    async def registered(self, url: str, handle: str) -> Device:
        device = Device(await self.rest(url).register(handle, PASSWORD, device_id="phone"))
        self.addCleanup(device.leave)
        return device

    def rest(self, url: str, token: str = "") -> RestClient:
        rest = RestClient(server=url, reactor=reactor, token=token)
        self.addCleanup(rest.close)
        return rest

    async def moved(self, data: Path) -> Cluster:
        """A cluster that was put up, moved into while its nodes are down, and started."""
        cluster = await deferToThread(new_cluster, {}, business=1)
        self.addCleanup(deferToThread, cluster.kill)
        said = await deferToThread(_move, data, cluster, Path(self.mktemp()))
        self.assertIn("moved: start im-core", said)
        return cluster


def _move(data: Path, cluster: Cluster, etc: Path) -> str:
    """What imctl said."""
    nodes = [*cluster.of_role("admin"), *cluster.of_role("business"), *cluster.of_role("core")]
    for node in reversed(nodes):
        node.stop()
    etc.mkdir()
    for role in ("admin", "business", "core"):
        shutil.copy(cluster.of_role(role)[0].config_file, etc / f"im-{role}.toml")
    # The folder's own has to come here.
    Path(load(str(etc / "im-business.toml"), {}, BusinessConfig).token_secret_file).unlink()
    said = _imctl("migrate", "--from", str(data), "--to", str(etc))
    for node in nodes:
        node.start()
    return said


def _imctl(*arguments: str) -> str:
    """What it says; it has to succeed."""
    done = subprocess.run(
        [sys.executable, "-c", "from imd.ctl.cli import main; main()", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise AssertionError(done.stdout)
    return done.stdout
