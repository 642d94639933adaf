"""A Redis of a test's own kind, and stores on it that end with the test."""

from __future__ import annotations

from collections.abc import Coroutine
from random import random
from typing import Any

from twisted.internet import reactor as _reactor  # noqa: TID251
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from imd.ctl.cluster.engines import RedisServer
from imd.kernel.timeouts import sleep
from imd.storage.redis import RedisStore
from imd.storage.redis_line import Login, redis_endpoint
from tests.live.engines import engine

reactor: Any = _reactor

#: Longer than in production, for the machine may be busy with other tests; what is tested about
#: time-outs says its own.
PATIENT_S = 2.0


def store_on(server: RedisServer, *, timeout_s: float = PATIENT_S, **login: Any) -> RedisStore:
    """Not started."""
    return RedisStore(
        endpoint=redis_endpoint(reactor, server.host, server.port),
        name=server.address,
        login=Login(**{"password": server.password, **login}),
        clock=reactor,
        jitter=random,
        timeout_s=timeout_s,
    )


class OnRedis(TestCase):
    """``redis`` is an empty database of the shared server, started at first use."""

    async def redis(self) -> RedisStore:
        server = await deferToThread(engine, "redis")
        store = store_on(server)
        await store.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(store.stop()))
        await store.call("FLUSHALL")
        self.store = store
        return store

    def drive(self, work: Coroutine[Any, Any, None]) -> Deferred[None]:
        return Deferred.fromCoroutine(work)

    def pause(self, delay_s: float) -> Deferred[None]:
        return sleep(delay_s, clock=reactor)
