"""Words that operators change while a cluster runs, and word files that change on disk."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from twisted.internet import reactor as _reactor  # noqa: TID251 -- real servers, on real time
from twisted.internet.threads import deferToThread

from imd.kernel.timeouts import sleep
from tests.dialogue.device import Device
from tests.dialogue.house import House, ServerHouse
from tests.dialogue.stage import SHORTER, Dialogue, Stage
from tests.dialogue.wire import Transport
from tests.live.cluster import ClusterHouse
from tests.live.server import Settings

reactor: Any = _reactor

PATIENCE_S = 15.0


class WordsCase(Dialogue):
    """Somebody who says a word again and again, until it comes out otherwise."""

    transport = Transport.TCP

    async def becomes(self, alice: Device, bob: Device, said: str, seen: str) -> None:
        for _ in range(int(PATIENCE_S / 0.1)):
            await alice.sends(said, to=bob)
            if (await bob.sees(from_=alice)).text == seen:
                return
            await sleep(0.1, clock=reactor)
        self.fail(f"{said} does not become {seen}")


class InACluster(WordsCase):
    """im-admin says, all core nodes do."""

    def house_of(self, settings: Settings) -> House:
        self.house = ClusterHouse.of(settings)
        return self.house

    async def publishes(self, settings: dict[str, Any]) -> None:
        """To all nodes, what stands above their files from now on."""
        (admin,) = self.house.cluster.of_role("admin")

        def ask(method: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
            request = urllib.request.Request(
                f"{admin.http_url}/api/v1/settings",
                None if body is None else json.dumps(body).encode(),
                {"Authorization": f"Bearer {self.house.operator_token}"},
                method=method,
            )
            with urllib.request.urlopen(request, timeout=10) as answer:
                return dict(json.loads(answer.read()))

        current = await deferToThread(ask, "GET")
        change = {"basedOn": current["version"], "comment": "words", "settings": settings}
        await deferToThread(ask, "PUT", change)

    async def test_words(self) -> None:
        """A word counts at every node, whatever was said before; wrong lines change nothing; what is not named is as
        in the files again."""
        stage = await Stage.open(self, self.transport)
        # Devices of a cluster come to different nodes.
        alice, bob = await stage.people("alice", "bob")
        await self.publishes({"content": {"words": ["bogus\treplace"]}})
        for one, other in ((alice, bob), (bob, alice)):
            await self.becomes(one, other, "bogus", "*****")
            await self.becomes(one, other, "zounds", "zounds")
        with self.assertRaises(HTTPError) as refused:
            await self.publishes({"content": {"words": ["bogus"]}})
        refused.exception.close()
        await self.becomes(alice, bob, "bogus", "*****")
        await self.publishes({})
        for one, other in ((alice, bob), (bob, alice)):
            await self.becomes(one, other, "zounds", "******")
            await self.becomes(one, other, "bogus", "bogus")


class InAFile(WordsCase):
    """`twistd im` with a word file."""

    def house_of(self, settings: Settings) -> House:
        house = ServerHouse(settings)
        self.addCleanup(deferToThread, house.kill)
        return house

    async def test_changed(self) -> None:
        """What is written into the file counts soon; while it is wrong the old list does."""
        file = _word_file(self.mktemp(), "bogus\treplace\n")
        content = {"word_files": [str(file)], "word_poll_s": 0.2}
        stage = await Stage.open(self, self.transport, {**SHORTER, "content": content})
        alice, bob = await stage.people("alice", "bob")
        await self.becomes(alice, bob, "bogus", "*****")
        _word_file(str(file), "bogus\n")
        await sleep(1.0, clock=reactor)
        await self.becomes(alice, bob, "bogus", "*****")
        _word_file(str(file), "坏词\treplace\n")
        await self.becomes(alice, bob, "bogus", "bogus")
        await self.becomes(alice, bob, "这是坏 词", "这是***")


def _word_file(name: str, text: str) -> Path:
    file = Path(name).resolve()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file
