"""DeliverAck and Receipt: cumulative, unhurried, and not lost."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.client.marks import AT_ONCE, RETRY_S
from imd.pb.connection_pb2 import Error
from imd.pb.envelope_pb2 import Envelope
from tests.client.scripted import Scene, ack, deliver, run, text

BUSY, INVALID = 1099, 1007


def refusal(request_id: int, code: int) -> Envelope:
    envelope = Envelope(error=Error(code=code, message="no"))  # type: ignore[arg-type]
    envelope.header.requestId = request_id
    return envelope


class DeliveredTests(SynchronousTestCase):
    """What this device holds."""

    def test_cumulative(self) -> None:
        """DeliverAcks are cumulative, one a conversation and second, and not sent for own messages."""
        scene = Scene().live()
        run(scene.client.send_text("mine", conversation_id="c", client_msg_id="x"))
        scene.link.say(ack("x", 1))
        scene.pass_time(2)
        self.assertEqual(scene.link.take("deliverAck"), [])
        scene.link.say(deliver(text(2)), deliver(text(3)))
        scene.clock.advance(0.05)
        self.assertEqual([mark.seq for mark in scene.link.take("deliverAck")], [3])
        scene.link.say(deliver(text(4)))
        scene.clock.advance(0.05)
        scene.link.say(deliver(text(5)))
        self.assertEqual(scene.link.take("deliverAck"), [])
        scene.clock.advance(1)
        self.assertEqual([mark.seq for mark in scene.link.take("deliverAck")], [5])


class ReadTests(SynchronousTestCase):
    """What the user has read."""

    def setUp(self) -> None:
        self.scene = Scene().live()

    def told(self) -> list[int]:
        return [receipt.readSeq for receipt in self.scene.link.take("read")]

    def test_gathered(self) -> None:
        """A page of messages that is read at once is one receipt, for the last of them."""
        for seq in (1, 2, 4, 3):
            self.scene.client.mark_read("c", seq)
        self.scene.clock.advance(0.05)
        self.assertEqual(self.told(), [4])

    def test_kept(self) -> None:
        """What was read without a connection is told after the next one."""
        self.scene.link.close()
        self.scene.client.mark_read("c", 3)
        self.scene.client.mark_read("c", 2)
        self.scene.pass_time(60)
        self.scene.server.accept()
        self.scene.clock.advance(1)
        self.assertEqual(self.told(), [3])

    def test_lost(self) -> None:
        """A receipt that may have gone down with its connection is told again on the next one."""
        self.scene.client.mark_read("c", 3)
        self.scene.clock.advance(0.05)
        self.assertEqual(self.told(), [3])
        self.scene.come_back()
        self.scene.clock.advance(1)
        self.assertEqual(self.told(), [3])

    def test_restored_server(self) -> None:
        """A server with another past gets none of the marks of the old one."""
        self.scene.client.mark_read("c", 3)
        self.scene.clock.advance(0.05)
        self.scene.link.close()
        self.scene.client.mark_read("d", 4)
        self.scene.pass_time(60)
        self.scene.server.accept(epoch="2")
        self.scene.clock.advance(1)
        self.assertEqual(self.told(), [])

    def test_busy(self) -> None:
        """A receipt that is refused as busy goes again later, unless a newer one went by then."""
        self.scene.client.mark_read("c", 3)
        self.scene.clock.advance(0.05)
        [(request_id, _)] = self.scene.link.take_requests("read")
        self.scene.link.say(refusal(request_id, BUSY))
        self.assertEqual(self.told(), [])
        self.scene.pass_time(2 * RETRY_S)
        self.assertEqual(self.told(), [3])

    def test_invalid(self) -> None:
        """A receipt that is refused for good is not repeated."""
        self.scene.client.mark_read("c", 3)
        self.scene.clock.advance(0.05)
        [(request_id, _)] = self.scene.link.take_requests("read")
        self.scene.link.say(refusal(request_id, INVALID))
        self.scene.pass_time(5)
        self.assertEqual(self.told(), [])

    def test_many(self) -> None:
        """Many conversations are told a few at a time, and all of them in the end."""
        for number in range(35):
            self.scene.client.mark_read(f"c{number}", 1)
        self.scene.clock.advance(0.05)
        self.assertEqual(len(self.told()), AT_ONCE)
        self.scene.pass_time(4)
        self.assertEqual(len(self.told()), 25)
