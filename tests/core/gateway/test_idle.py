"""What is silent, slow or expired for too long is closed, and nothing else."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.core.gateway.acks import MAX_IN_FLIGHT
from imd.core.gateway.idle import CYCLE_S
from imd.pb.connection_pb2 import AUTH_FAILED, PAYLOAD_INVALID, Heartbeat
from imd.pb.envelope_pb2 import Envelope
from imd.wire.codec import encode
from tests.core.gateway.world import NO_RATES, NOW_MS, World, text

BEAT = Envelope(hb=Heartbeat())


class IdleScanTests(SynchronousTestCase):
    """Each deadline, a little before and a little after it."""

    def test_strangers(self) -> None:
        """Who has not said who he is within 10 s is closed, heartbeats or not, and told once."""
        world = World()
        link = world.link()
        for _ in range(10):
            link.says(BEAT)
            world.scan(1)
        self.assertFalse(link.closed)
        world.scan(3)
        self.assertEqual((link.last().error.code, link.heard().count("error")), (AUTH_FAILED, 1))

    def test_silence(self) -> None:
        """A live connection is closed after 90 s without a word, one that beats is not."""
        world = World()
        silent, alive = world.live(1), world.live(2)
        for _ in range(4):
            world.scan(20)
            alive.says(BEAT)
        self.assertFalse(silent.closed)
        world.scan(11 + CYCLE_S)
        self.assertEqual((silent.closed, alive.closed), (True, False))

    def test_half_frame(self) -> None:
        """A frame that is begun must end within 10 s; dribbling on does not help."""
        world = World()
        link = world.live()
        frame = encode(text())
        for position in range(9):
            link.feed(frame[position : position + 1])
            world.scan(1)
        self.assertFalse(link.closed)
        for position in range(9, 9 + 2 + CYCLE_S):
            link.feed(frame[position : position + 1])
            world.scan(1)
        self.assertEqual((link.closed, link.last().error.code), (True, PAYLOAD_INVALID))

    def test_stream_without_pause(self) -> None:
        """A client that always has the next frame under way is not slow."""
        world = World()
        link = world.live()
        beat = encode(BEAT)
        link.feed(beat[:1])
        for _ in range(30):
            link.feed(beat[1:] + beat[:1])
            world.scan(1)
        self.assertFalse(link.closed)

    def test_not_read_by_us(self) -> None:
        """While the server does not read it, a connection can neither speak nor finish its frame."""
        world = World()
        link = world.live()
        link.says(*[text(f"m{number}") for number in range(64)])
        for number in range(64, MAX_IN_FLIGHT):
            link.says(text(f"m{number}"))
        link.feed(encode(BEAT)[:1])
        world.scan(100)
        self.assertFalse(link.closed)

    def test_blocked(self) -> None:
        """A peer that has not read for 30 s is cut off."""
        world = World()
        link = world.live()
        link.live.blocked(world.clock.seconds())
        world.scan(29)
        self.assertFalse(link.aborted)
        world.scan(2 + CYCLE_S)
        self.assertTrue(link.aborted)

    def test_expired(self) -> None:
        """A token's end closes the session a minute later, not before."""
        world = World()
        world.directory.expires_at_ms = NOW_MS + 10_000
        link = world.live()
        for _ in range(69):
            link.says(BEAT)
            world.scan(1)
        self.assertFalse(link.closed)
        world.scan(2 + CYCLE_S)
        self.assertEqual(link.last().error.code, AUTH_FAILED)

    def test_all_within_a_cycle(self) -> None:
        """Every one of many connections is looked at within 5 s."""
        world = World(max_connections=1000, max_strangers=1000)
        links = [world.live(user) for user in range(1, 300)]
        world.clock.advance(91)
        world.scan(CYCLE_S + 1)
        self.assertEqual([link.closed for link in links], [True] * 299)


class ForgettingTests(SynchronousTestCase):
    """What is remembered of those who left goes when it makes no difference any more."""

    def test_addresses_and_rates(self) -> None:
        """Full buckets of absent people are forgotten, others are kept."""
        world = World(rates=NO_RATES._replace(user_text_per_min=6, user_burst=5, ip_connects_per_s=1))
        for user in range(1, 6):
            link = world.live(user, address=f"192.0.2.{user}")
            link.says(text())
            link.leaves()
        self.assertEqual(len(world.registry._resting), 5)
        world.scan(1)
        self.assertEqual((len(world.registry._resting), len(world.registry._addresses)), (5, 0))
        world.scan(10 + CYCLE_S)
        self.assertEqual(len(world.registry._resting), 0)
