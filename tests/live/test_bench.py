"""``tools/bench`` on a real server: what was ACKed STORED survives kill -9, once and in order."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

_BENCH = Path(__file__).resolve().parents[2] / "tools" / "bench"
_TIMEOUT_S = 150


def _bench(*arguments: str, allowed: Sequence[int] = (0,)) -> dict[str, Any]:
    done = subprocess.run(
        [_BENCH, *arguments, "--json"], capture_output=True, timeout=_TIMEOUT_S, check=False
    )
    if done.returncode not in allowed:
        raise AssertionError(done.stderr.decode()[-4000:])
    result: dict[str, Any] = json.loads(done.stdout)
    return result


class BenchTests(TestCase):
    """Small runs; the exit code already says that nothing was lost, doubled or reordered."""

    timeout = _TIMEOUT_S + 10

    def test_killed_under_load(self) -> Deferred[None]:
        """Three kills in the middle of the load: each message stored once, seen once, in order."""

        def check(result: dict[str, Any]) -> None:
            self.assertEqual((result["lost"], result["duplicated"], result["reordered"]), (0, 0, 0))
            self.assertEqual(result["stored"], result["sent"])
            self.assertEqual(result["delivered"], result["stored"])
            self.assertEqual(len(result["back_s"]), 3)
            self.assertGreater(result["cut"], 0)

        arguments = ("p2p", "--connections", "20", "--seconds", "3", "--kills", "3", "--jitter", "0.2")
        return deferToThread(_bench, *arguments).addCallback(check)

    def test_storm(self) -> Deferred[None]:
        """Clients of a killed server come back and have what they missed."""

        def check(result: dict[str, Any]) -> None:
            self.assertEqual(result["delivered"], result["stored"])
            self.assertGreater(result["stored"], 0)
            self.assertEqual(len(result["back_s"]), 1)

        arguments = ("reconnect", "--connections", "100", "--seconds", "2", "--jitter", "1", "--rate", "200")
        return deferToThread(_bench, *arguments).addCallback(check)

    def test_group(self) -> Deferred[None]:
        """Every member gets every message of a group."""

        def check(result: dict[str, Any]) -> None:
            self.assertEqual(result["delivered"], result["stored"] * 49)

        return deferToThread(_bench, "group", "--connections", "50", "--seconds", "1").addCallback(check)

    def test_permission(self) -> Deferred[None]:
        """Checks that miss are all answered, over a real nats-server; how fast is not for a busy machine to say."""

        def check(result: dict[str, Any]) -> None:
            self.assertGreater(result["misses"], 30)
            self.assertEqual(result["misses_failed"], 0)
            self.assertGreater(result["cached_check_us"], 0)
            self.assertLess(result["group_bytes_all_restricted"], 2_000_000)

        # 1: slower than promised, which it says on its standard error.
        arguments = ("permission", "--nats", "--seconds", "1", "--rate", "50")
        return deferToThread(_bench, *arguments, allowed=(0, 1)).addCallback(check)
