"""Fault proxies in a process of their own: they outlive a test, and tests may block.

proxies = Proxies({"core-1/redis": redis.port, "core-2/redis": redis.port})
proxies.ports["core-1/redis"]                  # where the proxy listens
proxies.tell("stall", "core-1/redis")          # a method of FaultProxy, by its name
proxies.tell("flap", "core-1/redis", "core-2/redis", on_s=1, off_s=1)
proxies.close()
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Mapping
from inspect import isawaitable
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor  # noqa: TID251 -- a program of its own
from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from imd.ctl.cluster.engine import free_port
from tests.live.fault_proxy import FaultProxy

reactor: Any = _reactor

_ROOT = Path(__file__).resolve().parents[2]
#: For one order to all; the machine may be busy.
_ANSWER_TIMEOUT_S = 30.0


class Proxies:
    """The handle; every call returns when it is so.

    :param targets: name -> port of the server.
    """

    def __init__(self, targets: Mapping[str, int]) -> None:
        # Chosen here, where it is known which ports were given to others who do not listen yet.
        ports = {name: (target, free_port()) for name, target in targets.items()}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.live.proxies", json.dumps(ports)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_ROOT,
        )
        self.ports: dict[str, int] = self._answer()

    def tell(self, do: str, *names: str, **how: float) -> None:
        """Have the proxies of these names do it."""
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(json.dumps({"do": do, "names": names, "how": how}).encode() + b"\n")
        stdin.flush()
        self._answer()

    def _answer(self) -> Any:
        stdout = self._process.stdout
        assert stdout is not None
        if not select.select([stdout], [], [], _ANSWER_TIMEOUT_S)[0]:
            raise AssertionError("the proxies do not answer")
        answer = json.loads(stdout.readline() or b'{"error": "the proxies have ended"}')
        if isinstance(answer, dict) and "error" in answer:
            raise AssertionError(answer["error"])
        return answer

    def close(self) -> None:
        """End them."""
        self._process.kill()
        self._process.communicate()


class _Orders(LineOnlyReceiver):
    """Takes a line of JSON at a time, and answers with one; ends with whoever sends them."""

    delimiter = b"\n"

    def __init__(self, proxies: Mapping[str, FaultProxy]) -> None:
        self._proxies = proxies

    def connectionMade(self) -> None:
        Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        for proxy in self._proxies.values():
            await proxy.start()
        self._say({name: proxy.port for name, proxy in self._proxies.items()})

    def lineReceived(self, line: bytes) -> None:
        Deferred.fromCoroutine(self._obey(**json.loads(line))).addErrback(
            lambda failure: self._say({"error": failure.getTraceback()})
        )

    async def _obey(self, do: str, names: list[str], how: dict[str, float]) -> None:
        for name in names:
            done = getattr(self._proxies[name], do)(**how)
            if isawaitable(done):
                await done
        self._say("done")

    def _say(self, what: object) -> None:
        self.sendLine(json.dumps(what).encode())

    def connectionLost(self, reason: Failure | None = None) -> None:
        reactor.stop()


def main() -> None:
    """The program."""
    proxies = {}
    for name, (target, port) in json.loads(sys.argv[1]).items():
        proxies[name] = FaultProxy(target=target)
        proxies[name].port = port
    StandardIO(_Orders(proxies))
    reactor.run()


if __name__ == "__main__":
    main()
