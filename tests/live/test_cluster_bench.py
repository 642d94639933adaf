"""tools/bench against a cluster, a little: what it is for is to be run by hand, at length."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.dialogue.stage import SHORTER
from tests.live.cluster import ClusterHouse
from tests.live.server import ROOT

_RUN_TIMEOUT_S = 120


class ClusterBenchTests(TestCase):
    """Those who talk with each other are on different nodes."""

    timeout = 240

    async def _load(self, *what: str) -> dict[str, Any]:
        house = await deferToThread(ClusterHouse.of, SHORTER)
        if not house.running:
            await deferToThread(house.start)
        urls = [option for node in house.cores for option in ("--url", f"{node.host}:{node.ports['tcp']}")]
        rest = house.http_url.removeprefix("http://")
        command = [sys.executable, "-m", "imd.client.load", *what, *urls, "--http", rest, "--json"]
        ended = await deferToThread(
            subprocess.run, command, cwd=ROOT, capture_output=True, timeout=_RUN_TIMEOUT_S, text=True
        )
        self.assertEqual(ended.returncode, 0, ended.stderr)
        result: dict[str, Any] = json.loads(ended.stdout)
        return result

    async def test_pairs(self) -> None:
        """Messages between nodes, as fast as they go: none lost, doubled or out of order."""
        result = await self._load("p2p", "--connections", "20", "--seconds", "3")
        self.assertGreater(result["stored"], 1000)
        self.assertEqual((result["lost"], result["duplicated"], result["reordered"]), (0, 0, 0))

    async def test_one_conversation(self) -> None:
        """Four senders at two nodes in one conversation: one order for everybody."""
        result = await self._load("one-conversation", "--seconds", "3")
        self.assertGreater(result["stored"], 1000)
        self.assertEqual((result["lost"], result["duplicated"], result["reordered"]), (0, 0, 0))

    async def test_all_cut_off(self) -> None:
        """Everybody comes back to another node than before and has everything."""
        result = await self._load("reconnect", "--connections", "20", "--seconds", "4", "--jitter", "1")
        self.assertGreater(result["stored"], 100)
        self.assertEqual((result["lost"], result["duplicated"], result["reordered"]), (0, 0, 0))
