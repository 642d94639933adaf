"""Redis fails under load: that costs speed, never messages, order or logins."""

from __future__ import annotations

import socket

from imd.ctl.cluster.engines import RedisServer
from tests.live.failing import FAULT_S, FailureCase


class RedisFailures(FailureCase):
    """Down, slow, flapping, partitioned, forgetful."""

    def test_down(self) -> None:
        """Killed: messages are stored and delivered on, and people are let in."""
        redis = self.ground.cluster.redis
        with self.load() as load:
            redis.kill()
            load.run_for(2)
            self.assertTrue(load.gains(50, "delivered", over_s=FAULT_S))
            self.comes_in(self.ground.cores[0])

    def test_slow(self) -> None:
        """Answers come after the node has stopped waiting for them: as if it were down."""
        with self.load() as load:
            self.ground.fault("slow", self.ground.links("redis"), delay_s=0.2)
            load.run_for(2)
            self.assertTrue(load.gains(50, "delivered", over_s=FAULT_S))
            self.comes_in(self.ground.cores[0])

    def test_flapping(self) -> None:
        """Away and there by turns."""
        with self.load() as load:
            self.ground.fault("flap", self.ground.links("redis"), on_s=0.7, off_s=0.7)
            load.run_for(2)
            self.assertTrue(load.gains(50, "delivered", over_s=FAULT_S))

    def test_partitioned(self) -> None:
        """One node of two is cut off from it, its connections seem alive: both go on."""
        with self.load() as load:
            self.ground.fault("stall", self.ground.links("redis", self.ground.cores[0]))
            load.run_for(2)
            self.assertTrue(load.gains(50, "delivered", over_s=FAULT_S))
            for node in self.ground.cores:
                self.comes_in(node)

    def test_forgets(self) -> None:
        """FLUSHALL, again and again: nodes, leases, routes and caches are put there anew, and nobody is told."""
        redis = self.ground.cluster.redis
        with self.load() as load:
            for _ in range(3):
                _flush(redis)
                self.assertTrue(load.gains(50, "delivered", over_s=FAULT_S / 2))


def _flush(redis: RedisServer) -> None:
    with socket.create_connection((redis.host, redis.port), 5) as connection:
        connection.sendall(f"AUTH {redis.password}\r\nFLUSHALL\r\n".encode())
        with connection.makefile("rb") as answers:
            assert [answers.readline() for _ in range(2)] == [b"+OK\r\n"] * 2
