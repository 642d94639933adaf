"""A nats-server of a test's own, and NatsBuses on it."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet import reactor  # noqa: TID251
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from imd.bus import subjects
from imd.bus.nats import NatsBus
from imd.bus.nats_streams import Event, Stream
from imd.ctl.cluster.engines import Nats
from imd.kernel.clocks import system_wall_clock
from imd.kernel.timeouts import sleep
from tests.live.engines import fresh_of

#: The subjects of the contract, retried so that a test need not wait.
TEST_STREAMS = (
    Stream(
        name="im-test",
        events=tuple(
            Event(subject, tries=5, ack_wait_s=0.6, backoff_s=(0.4,))
            for subject in ("im.test.>", subjects.ADMIN_CONFIG, subjects.AUTH_INVALIDATE)
        ),
        keep_s=3600,
        max_bytes=64 * 1024**2,
        dedupe_s=120,
    ),
)


class OpenNats(Nats):
    """Every user may use every subject: the contract's are none of ours."""

    def _config(self) -> str:
        users = "\n".join(
            f'{{ user: "{role}", password: "{password}" }}' for role, password in self.passwords.items()
        )
        return f"""
listen: "{self.address}"
jetstream {{ store_dir: "{self.folder / "jetstream"}" }}
max_payload: 1056768
authorization {{ users = [ {users} ] }}
"""


def open_server(test: TestCase, kind: type[Nats] = OpenNats) -> Nats:
    """Started, empty, and gone with the test; blocks."""
    return fresh_of(test, kind)


def bus_on(server: Nats, **how: Any) -> NatsBus:
    """Not started yet."""
    given: dict[str, Any] = {
        "servers": [f"nats://{server.address}"],
        "user": server.user,
        "password": server.password,
        "name": "test",
        "clock": reactor,
        "wall_clock": system_wall_clock,
        "random": Random().random,
        "loop": reactor._asyncioEventloop,  # type: ignore[attr-defined]
        "streams": TEST_STREAMS,
    }
    return NatsBus(**(given | how))


def pause(delay_s: float) -> Deferred[None]:
    """Real time."""
    return sleep(delay_s, clock=reactor)
