"""A link to NATS whose socket is gone before anybody was told."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from imd.bus.nats_link import MAX_QUEUED_BYTES, Link


class Gone:
    """A writer of uvloop whose socket the other side has reset: each call but the closing ones fails."""

    def __init__(self) -> None:
        self.transport = self

    def write(self, _: bytes) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    def get_write_buffer_size(self) -> int:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    def abort(self) -> None:
        """Nothing is left to close."""


class Reset(SynchronousTestCase):
    """It is lost once, whoever notices; nobody who sends hears of an exception that the bus does not know."""

    def setUp(self) -> None:
        self.lost: list[Exception] = []
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)
        self.link = Link(
            loop=self.loop,
            interests={},
            on_lost=lambda _, error: self.lost.append(error),
            on_refused=self.fail,
        )
        # As after ``open``.
        self.link._wire._io_writer = cast(Any, Gone())
        self.link._opened = True

    def test_written_at_once(self) -> None:
        """More than waits for the end of the turn."""
        for _ in range(2):
            self.link.send(b"x" * 100_000)
        self.assertEqual(len(self.lost), 1)

    def test_end_of_turn(self) -> None:
        """What waited for the end of the turn."""
        self.link.send(b"x")
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()
        self.assertEqual(len(self.lost), 1)

    def test_settle(self) -> None:
        """What asks the server whether it has all, with a ping."""

        async def ping(**_: object) -> None:
            Gone().write(b"PING\r\n")

        self.patch(self.link, "flush", ping)
        self.loop.run_until_complete(self.link._settle())
        self.assertEqual(len(self.lost), 1)

    def test_blocked(self) -> None:
        """Where the server has not read for a while, all goes into the queue until the loss is told."""
        self.link._blocked = True
        self.link.send(b"x" * (MAX_QUEUED_BYTES // 2))
        self.assertEqual((self.lost, self.link.queued[0]), ([], 1))
