"""`imctl new-epoch` as an operator runs it, on real servers."""

from __future__ import annotations

import io
import time
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.config.engines import Redis
from imd.core.message.mongo_epoch import ABOUT, EPOCH_ID, MOVING_IN
from imd.ctl.cli import run
from imd.ctl.exits import OK, TARGET, USAGE
from imd.ctl.redis_line import open_redis
from tests.live.migration import Target

#: More than one SCAN brings.
KEYS = 2500


class NewEpoch(SynchronousTestCase):
    """A MongoDB and a Redis as a cluster left them."""

    def setUp(self) -> None:
        self.target = Target(self)
        opened = ExitStack()
        self.addCleanup(opened.close)
        redis = self.target.redis
        password_file = str(self.target.etc / "redis.password")
        self.redis = opened.enter_context(
            open_redis(Redis(address=redis.address, password_file=password_file, database=7))
        )
        self.redis.ask([("FLUSHDB",)])
        self.redis.ask([("SET", f"core:rules:g_{number}", "7") for number in range(KEYS)])
        self.redis.ask([("HSET", "core:seen:7", "1", "1000"), ("SET", "others", "theirs")])
        self.set_epoch("0123456789abcdef")

    def set_epoch(self, value: str) -> None:
        self.target.mongo[ABOUT].update_one({"_id": EPOCH_ID}, {"$set": {"value": value}}, upsert=True)

    def epoch(self) -> str:
        return str((self.target.mongo[ABOUT].find_one({"_id": EPOCH_ID}) or {}).get("value"))

    def node_until(self, seconds: float) -> None:
        """A core node whose beat is good for so long."""
        end_ms = int((time.time() + seconds) * 1000)
        self.redis.ask([("HSET", "core:nodes", "3", f"{end_ms} ready abc")])

    def typed(self) -> tuple[int, str]:
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            code = run(["new-epoch", "--config", str(self.target.etc / "im-core.toml")])
        return code, said.getvalue()

    def keys(self) -> set[object]:
        (found,) = self.redis.ask([("KEYS", "*")])
        assert isinstance(found, list)
        return set(found)

    def test_done(self) -> None:
        """Another epoch each time; of Redis all that is core's is gone, but for when people were last seen."""
        self.node_until(-60)
        code, said = self.typed()
        self.assertEqual(code, OK, said)
        self.assertIn(f"{KEYS + 1:,} keys forgotten", said)
        self.assertEqual(self.keys(), {b"core:seen:7", b"others"})
        first = self.epoch()
        self.assertRegex(first, r"^[0-9a-f]{16}$")
        self.assertIn(f"epoch 0123456789abcdef is now {first}", said)
        self.assertEqual(self.typed()[0], OK)
        self.assertNotIn(self.epoch(), (first, "0123456789abcdef"))

    def test_node_is_up(self) -> None:
        """While a core node beats, nothing is touched."""
        self.node_until(60)
        code, said = self.typed()
        self.assertEqual((code, self.epoch(), len(self.keys())), (TARGET, "0123456789abcdef", KEYS + 3), said)
        self.assertIn("core node 3 is up", said)

    def test_moving_in(self) -> None:
        """A database that is being filled is left alone."""
        self.set_epoch(MOVING_IN)
        code, said = self.typed()
        self.assertEqual((code, self.epoch()), (TARGET, MOVING_IN))
        self.assertIn("imctl migrate", said)

    def test_unreachable(self) -> None:
        """A server that does not let us in is named, and the configuration that is not there."""
        for name, words in (("mongo", "[mongo]"), ("redis", "[redis]")):
            self.target.configure()
            (self.target.etc / f"{name}.password").write_text("wrong")
            code, said = self.typed()
            self.assertEqual(code, TARGET)
            self.assertIn(words, said)
        self.assertEqual(self.epoch(), "0123456789abcdef")
        Path(self.target.etc / "im-core.toml").unlink()
        self.assertEqual(self.typed()[0], USAGE)
