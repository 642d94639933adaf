"""What a gateway counts of what goes through it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.core.gateway.acks import MAX_IN_FLIGHT
from imd.core.gateway.idle import CYCLE_S
from imd.core.gateway.requests import TIMED_ONE_IN
from imd.core.gateway.session import MAX_CONTROL_QUEUED, QueueLimits
from imd.pb.connection_pb2 import Heartbeat
from imd.pb.delivery_pb2 import Ack
from imd.pb.envelope_pb2 import Envelope
from imd.wire.outbound import Outbound, Priority
from tests.core.gateway.world import NO_RATES, NOW_MS, World, text

BEAT = Envelope(hb=Heartbeat())


class TrafficTests(SynchronousTestCase):
    """``Traffic``, moved by a gateway."""

    def test_endings(self) -> None:
        """Each connection counts once when it is gone, by who ended it and why."""
        world = World()
        usual, world.directory.expires_at_ms = world.directory.expires_at_ms, NOW_MS + 10_000
        expired = world.live(9)
        world.directory.expires_at_ms = usual
        nameless, silent, left, kicked, unread = world.link(), *(world.live(user) for user in range(1, 5))
        for _ in range(75):
            expired.says(BEAT)
            world.scan(1)
        left.leaves()
        world.replies.kick(kicked.live, "because")
        unread.live.blocked(world.clock.seconds())
        world.scan(35 + CYCLE_S)
        for link in (expired, nameless, silent, kicked, unread):
            link.leaves()
        ended = {how: count for how, count in world.gateway.traffic.ended.items() if count}
        self.assertEqual(
            ended, dict.fromkeys(("expired", "nameless", "silent", "left", "kicked", "unread"), 1)
        )
        self.assertEqual(world.gateway.traffic.opened, 6)

    def test_not_let_in(self) -> None:
        """Who is not let in counts by why."""
        world = World(max_connections=3, max_strangers=2, rates=NO_RATES._replace(ip_connects_per_s=1))
        world.live(1, address="192.0.2.1")
        world.live(2, address="192.0.2.1").leaves()
        self.assertIsNone(world.link("192.0.2.1").session)
        for address in ("192.0.2.2", "192.0.2.3"):
            world.link(address)
        self.assertIsNone(world.link("192.0.2.4").session)
        world.gateway.draining = True
        self.assertIsNone(world.link("192.0.2.5").session)
        refused = {why: count for why, count in world.gateway.traffic.not_let_in.items() if count}
        self.assertEqual(refused, {"rate": 1, "full": 1, "draining": 1})

    def test_inbound(self) -> None:
        """Frames count by payload, whatever they come mixed with; what no client may send counts as other."""
        world = World()
        link = world.live()
        link.says(text("a"), text("b"), BEAT, text("c"), Envelope(ack=Ack()), BEAT)
        counted = {
            name: inbound.frames for name, inbound in world.gateway.traffic.inbound.items() if inbound.frames
        }
        self.assertEqual(counted, {"connect": 1, "send": 3, "hb": 2, "other": 1})
        self.assertEqual(world.gateway.traffic.inbound["send"].size_bytes, 3 * text("a").ByteSize())
        self.assertEqual(world.gateway.traffic.heartbeats, 2)

    def test_outbound(self) -> None:
        """What is handed to the transport counts by priority and size, several deliveries in one push as so many."""
        world = World()
        session = world.live().live
        before = list(world.gateway.traffic.frames_out)
        written = world.gateway.traffic.written_bytes
        session.push(Outbound(b"\0" * 5, Priority.NORMAL, 5))
        session.push(Outbound(b"\0\0", Priority.BULK))
        session.flush()
        now = world.gateway.traffic.frames_out
        self.assertEqual([after - earlier for after, earlier in zip(now, before, strict=True)], [0, 5, 0, 1])
        self.assertEqual(world.gateway.traffic.written_bytes - written, 7)

    def test_backpressure(self) -> None:
        """A blocked connection counts while it is blocked, also if it goes then; what is dropped counts once."""
        world = World(queue=QueueLimits(10, 1 << 20))
        traffic = world.gateway.traffic
        links = [world.live(user) for user in (1, 2)]
        for link in links:
            link.live.blocked(world.clock.seconds())
            link.live.blocked(world.clock.seconds())
        self.assertEqual((traffic.blocked, traffic.write_blocked), (2, 2))
        for _ in range(30):
            links[0].live.push(Outbound(b"", Priority.NORMAL, 1))
        self.assertEqual(traffic.sheds, 1)
        links[0].live.unblocked()
        self.assertEqual(traffic.blocked, 1)
        for _ in range(MAX_CONTROL_QUEUED + 1):
            links[1].live.push(Outbound(b"", Priority.CONTROL))
        links[1].leaves()
        self.assertEqual((traffic.blocked, traffic.cut_for_control, traffic.ended["unread"]), (0, 1, 1))

    def test_sends(self) -> None:
        """Sends count by how they ended, refusals by their code; who has too many under way is not read, once."""
        world = World()
        link = world.live()
        for number in range(MAX_IN_FLIGHT + 1):
            link.says(text(f"m{number}"))
        self.assertEqual(world.gateway.traffic.read_paused, 1)
        for number, send in enumerate(world.pipeline.submitted):
            world.acks.stored(send, duplicate=number == 0)
        self.assertEqual(
            (world.acks.stored_count, world.acks.duplicates), (len(world.pipeline.submitted) - 1, 1)
        )
        self.assertEqual(world.acks.ack_seconds.count, world.acks.stored_count // TIMED_ONE_IN)
        link.says(text("", said="no id"))
        link.heard()
        self.assertEqual({code for code, count in world.gateway.traffic.refusals.items() if count}, {1007})

    def test_clock_is_set(self) -> None:
        """How long an answer took is not told by a clock that somebody sets meanwhile."""
        world = World()
        world.live().says(text("m"))
        (send,) = world.pipeline.submitted
        world.clock.advance(0.25)
        send.server_time_ms -= 3_600_000
        world.acks.stored(send, duplicate=False)
        self.assertEqual((world.acks.ack_seconds.count, world.acks.ack_seconds.total), (1, 0.25))

    def test_rates(self) -> None:
        """What is above a rate counts by whose it is."""
        world = World(rates=NO_RATES._replace(device_frames_per_s=1, user_text_per_min=1, user_burst=1))
        link = world.live()
        link.says(*[text(f"m{number}") for number in range(5)])
        traffic = world.gateway.traffic
        self.assertGreater(traffic.device_limited + traffic.user_limited, 0)
        self.assertEqual(traffic.address_limited, 0)
