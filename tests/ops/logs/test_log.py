"""Lines on their way through all of it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ServerFactory
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, Logger, globalLogPublisher
from twisted.python import log as legacy
from twisted.trial.unittest import SynchronousTestCase

from imd.config.log import Log
from imd.ops.logs.levels import Levels
from imd.ops.logs.log import ProcessLog
from imd.ops.logs.output import Output
from imd.ops.logs.redaction import Redaction
from imd.ops.logs.sampling import SUMMARY_S, Sampling


class ProcessLogTests(SynchronousTestCase):
    """``ProcessLog``."""

    def setUp(self) -> None:
        root = logging.getLogger()
        self.addCleanup(root.setLevel, root.level)
        self.path = Path(self.mktemp()).absolute()
        self.clock = Clock()
        self.complaints: list[str] = []
        self.settings = Log(file=str(self.path), lines_per_s=3)
        self.log = self.made(self.settings)

    def made(self, settings: Log, *, node: str = "") -> ProcessLog:
        output = Output(settings.file, complain=self.complaints.append, seconds=self.clock.seconds)
        self.addCleanup(output.close)
        return ProcessLog(
            settings,
            output=output,
            redaction=Redaction(["a secret of ours"]),
            levels=Levels(),
            sampling=Sampling(settings.lines_per_s, seconds=self.clock.seconds),
            clock=self.clock,
            wall_clock=lambda: 1_700_000_000_250,
            node=node,
        )

    def say(self, level: str, text: str, *, by: str = "imd.x", **more: Any) -> None:
        getattr(Logger(namespace=by, observer=self.log), level)(text, **more)

    def lines(self) -> list[str]:
        return [line.split(" ", 1)[1] for line in self.path.read_text().splitlines()]

    def test_noise_of_twisted(self) -> None:
        """What Twisted says of each port and factory is not written, unless asked for; what went wrong there is."""

        def listen() -> None:
            factory = ServerFactory()
            factory.doStart()
            legacy.msg(f"{factory} starting on 1")
            factory.doStop()

        observer: Any = self.log
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        listen()
        self.assertEqual(self.lines(), [])
        legacy.err(ValueError("went wrong"))
        self.assertIn("went wrong", self.path.read_text())
        self.flushLoggedErrors(ValueError)
        self.log.change(replace(self.settings, level="debug", levels=["log_legacy=info"]))
        listen()
        for words in ("Starting factory", "starting on 1", "Stopping factory"):
            self.assertIn(words, self.path.read_text())

    def test_line(self) -> None:
        """What somebody says stands in the file, without secrets; debug lines do not."""
        self.assertTrue(ILogObserver.providedBy(self.log))
        self.say("debug", "quiet")
        self.say("info", "with {x}", x="a secret of ours")
        self.assertEqual(self.lines(), ["info     imd.x: with [hidden]"])
        self.assertEqual((self.log.lines["info"], self.log.lines["debug"]), (1, 0))

    def test_levels(self) -> None:
        """Levels hold from the next line on, for all and for parts; libraries hear of it."""
        self.log.change(replace(self.settings, level="warn", levels=["imd.core=debug", "imd.core.x=error"]))
        for by in ("imd.core.gateway", "imd.core.x", "imd.corex", "imd.core"):
            self.say("info", "said", by=by)
        self.assertEqual(self.lines(), ["info     imd.core.gateway: said", "info     imd.core: said"])
        self.assertEqual(logging.getLogger().level, logging.WARNING)
        self.assertEqual(logging.getLogger("imd.core").level, logging.DEBUG)
        self.log.change(replace(self.settings, level="debug"))
        self.say("debug", "loud", by="imd.core.x")
        self.assertEqual(self.lines()[-1], "debug    imd.core.x: loud")
        self.assertEqual(logging.getLogger("imd.core").level, logging.NOTSET)

    def test_flood(self) -> None:
        """A flood is cut and summed up in time, also when nobody says anything more."""
        self.successResultOf(Deferred.fromCoroutine(self.log.start()))
        for _ in range(10):
            self.say("info", "refused")
        self.assertEqual(len(self.lines()), 3)
        self.clock.pump([1.0] * int(SUMMARY_S + 6))
        self.assertEqual(len(self.lines()), 4)
        self.assertIn("7 more like it in 60 s: refused", self.lines()[-1])
        self.say("info", "refused", log_time=0)
        for _ in range(5):
            self.say("info", "refused")
        self.successResultOf(Deferred.fromCoroutine(self.log.stop()))
        self.assertIn("more like it", self.lines()[-1])
        self.assertTrue(self.path.read_text().splitlines()[-1].startswith("2023-11-14T22:13:20.250Z "))

    def test_hang_up(self) -> None:
        """The file is opened anew, in another place or form if need be; what cannot be opened is told."""
        self.say("info", "one")
        other = self.path.with_name("other.log")
        self.log.reopen(replace(self.settings, file=str(other), format="json"), ["another secret"])
        self.say("info", "two, another secret")
        self.assertEqual(json.loads(other.read_text())["message"], "two, [hidden]")
        self.assertEqual(len(self.lines()), 1)

    def test_full_disk(self) -> None:
        """Lines that were lost are counted and told in the log, once there is room again."""
        log = self.log = self.made(replace(self.settings, file="/dev/full"))
        for _ in range(3):
            self.say("error", "lost")
        self.assertEqual((log.lost, len(self.complaints)), (3, 1))
        log.reopen(self.settings, [])
        self.say("info", "here again")
        self.assertEqual(
            self.lines(),
            [
                "info     imd.x: here again",
                "error    imd.ops.logs: 3 lines before this one were lost: No space left on device",
            ],
        )

    def test_node(self) -> None:
        """Where several nodes share an output, each line says whose it is."""
        self.log = self.made(self.settings, node="3")
        self.say("info", "said")
        self.assertEqual(self.lines(), ["info     [node 3] imd.x: said"])
