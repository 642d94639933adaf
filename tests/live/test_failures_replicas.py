"""A replica set of three under load: the primary steps down, dies, hangs; a majority goes on."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.live.failing import FAULT_S, FailureCase


class PrimaryFailures(FailureCase):
    """Of three members, one at a time."""

    kind = "three members"
    how: ClassVar[dict[str, Any]] = {"proxied": False, "mongo_members": 3, "business": 1, "admins": 0}

    def test_steps_down(self) -> None:
        """Another member is elected; writes under way are settled there."""
        with self.load() as load:
            self.ground.cluster.mongo.step_down()
            self.wait_for(lambda: load.gained(1) > 20, "writes at the new primary", load=load)

    def test_killed(self) -> None:
        """With -9: the two others elect one of them, and go on without the third."""
        mongo = self.ground.cluster.mongo
        with self.load() as load:
            before = mongo.primary()
            mongo.kill_member(before)
            self.wait_for(lambda: load.gained(1) > 20, "writes at the new primary", load=load)
            mongo.start_member(before)
            load.run_for(FAULT_S / 2)

    def test_paused(self) -> None:
        """It hangs, is replaced, and goes on as if it were the primary still: what it takes then counts for nothing."""
        mongo = self.ground.cluster.mongo
        with self.load() as load:
            before = mongo.primary()
            mongo.pause_member(before)
            self.wait_for(lambda: load.gained(1) > 20, "writes at the new primary", load=load)
            mongo.resume_member(before)
            load.run_for(FAULT_S / 2)
