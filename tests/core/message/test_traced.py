"""The spans of messages among nodes: every hop, in order, below the right one, however many are under way."""

from __future__ import annotations

from imd.core.message.sends import PendingSend
from imd.core.message.traced import TracedSend
from imd.kernel.errors import ImError
from imd.kernel.trace_context import TraceContext, carried
from imd.ops.tracing import NO_TRACER, Kind, Tracer
from tests.core.message.cluster import ClusterCase, ClusterNode
from tests.core.message.harness import ANN, BOB, CY, GROUP_ID, Answers, Device
from tests.ops.spans import Seen, Spans, by_trace, drawn


class TracedAnswers(Answers):
    """Tells the trace how a send ended, as the gateway does."""

    def stored(self, send: PendingSend, *, duplicate: bool) -> None:
        if send.traced is not None:
            send.traced.answered({"im.status": "STORED", "im.duplicate": duplicate})
        super().stored(send, duplicate=duplicate)

    def failed(self, send: PendingSend, error: ImError) -> None:
        if send.traced is not None:
            send.traced.answered({"im.status": "FAILED"}, error=error.message)
        super().failed(send, error)


class TracedCase(ClusterCase):
    """Two nodes that trace; Ann is at the one that does not own the group."""

    def setUp(self) -> None:
        self.spans = Spans()
        super().setUp()
        self.home = self.other()
        self.owning = self.owner()
        for node in self.nodes.values():
            node.answers = TracedAnswers()
        self.ann = self.home.connect(ANN)

    def tracer(self, node_id: int) -> Tracer:
        return self.spans.tracer(str(node_id))

    def say(
        self,
        node: ClusterNode,
        device: Device,
        client_msg_id: str,
        trace_id: int,
        *,
        conversation_id: str = GROUP_ID,
    ) -> None:
        send = node.write(device, client_msg_id, conversation_id)
        if trace_id:
            tracer = self.tracer(node.node_id)
            whole = tracer.start("gateway.receive", TraceContext(trace_id, 0), kind=Kind.SERVER)
            send.traced = TracedSend(tracer, whole.context, whole=whole)
        node.forwarding.submit(send)

    def drawn(self, trace_id: int) -> list[str]:
        home, owning = f"@{self.home.node_id}", f"@{self.owning.node_id}"
        lines = drawn(by_trace(self.spans.kept)[f"{trace_id:032x}"])
        return [line.replace(home, "@home").replace(owning, "@owner") for line in lines]

    def of(self, trace_id: int, name: str) -> Seen:
        (found,) = (each for each in by_trace(self.spans.kept)[f"{trace_id:032x}"] if each.name == name)
        return found


class TracedTests(TracedCase):
    """One message at a time."""

    def test_at_the_owner(self) -> None:
        """A message that its own node stores: from the client to the client."""
        bob, ann = self.owning.connect(BOB), self.owning.connect(ANN, "desk")
        self.say(self.owning, ann, "a", 1)
        self.pass_time(0.5)
        for device in (ann, bob):
            self.owning.fanout.awaited_acks.acknowledged(GROUP_ID, 1, device)
        self.assertEqual(bob.seqs(), [1])
        self.assertEqual(
            self.drawn(1),
            [
                "gateway.receive @owner",
                "  message.append @owner",
                "    permission.check @owner",
                "    store.append @owner",
                "    message.fanout @owner",
                "      message.deliver @owner",
                "        client.ack @owner",
                "      bus.publish @owner",
                "        message.deliver @home",
            ],
        )
        self.assertEqual(self.of(1, "gateway.receive").attributes["im.status"], "STORED")
        store = self.of(1, "store.append").attributes
        self.assertEqual((store["im.seq"], store["im.batch_messages"], store["im.tries"]), (1, 1, 1))
        self.assertEqual(self.of(1, "client.ack").attributes["im.user_id"], BOB)

    def test_by_way_of_the_owner(self) -> None:
        """A message for another node's conversation: there, to the people there, and back to those here."""
        self.owning.connect(BOB)
        cy = self.home.connect(CY)
        self.say(self.home, self.ann, "a", 1)
        self.pass_time(0.5)
        self.home.fanout.awaited_acks.acknowledged(GROUP_ID, 1, cy)
        self.assertEqual(
            self.drawn(1),
            [
                "gateway.receive @home",
                "  bus.forward @home",
                "    message.append @owner",
                "      permission.check @owner",
                "      store.append @owner",
                "      message.fanout @owner",
                "        message.deliver @owner",
                "        bus.publish @owner",
                "          message.deliver @home",
                "            client.ack @home",
            ],
        )

    def test_nobody_listens(self) -> None:
        """Where only the sending device is, nothing is delivered; and nodes without members are not told."""
        cy = self.home.connect(CY)
        self.home.sessions.devices[:] = [cy]
        self.people.put(GROUP_ID, ANN, BOB)
        self.say(self.owning, self.owning.connect(BOB), "a", 1)
        self.pass_time(0.5)
        self.assertEqual(
            self.drawn(1),
            [
                "gateway.receive @owner",
                "  message.append @owner",
                "    permission.check @owner",
                "    store.append @owner",
                "    message.fanout @owner",
            ],
        )

    def test_refused(self) -> None:
        """Who may not write there has a trace that ends with the reason, on both nodes."""
        self.say(self.home, self.home.connect(99), "a", 1)
        self.pass_time(0.5)
        self.assertEqual(
            self.drawn(1),
            [
                "gateway.receive @home",
                "  bus.forward @home",
                "    message.append @owner",
                "      permission.check @owner",
            ],
        )
        for name in ("gateway.receive", "bus.forward", "message.append", "permission.check"):
            self.assertIn("you are not in it", self.of(1, name).error, name)

    def test_resent(self) -> None:
        """A resend while the first is under way, and one after it, each end as duplicates in their own traces."""
        bob = self.owning.connect(BOB)
        self.log.hold()
        for trace_id in (1, 2):
            self.say(self.owning, bob, "a", trace_id)
        self.pass_time(0.5)
        self.log.release()
        self.pass_time(0.5)
        self.say(self.owning, bob, "a", 3)
        self.pass_time(0.5)
        self.assertIn("    message.fanout @owner", self.drawn(1))
        self.assertEqual(
            self.drawn(2),
            [
                "gateway.receive @owner",
                "  message.append @owner",
                "    permission.check @owner",
                "    store.join @owner",
            ],
        )
        self.assertEqual(self.drawn(3), self.drawn(2)[:3])
        for trace_id in (2, 3):
            self.assertIs(self.of(trace_id, "gateway.receive").attributes["im.duplicate"], True)

    def test_owner_dies(self) -> None:
        """What the owner did not take is written here, and the trace says that and why."""
        self.say(self.home, self.ann, "before", 1)
        self.pass_time(0.5)
        self.wait(self.owning.die())
        self.say(self.home, self.ann, "a", 2)
        self.pass_time(5)
        lines = self.drawn(2)
        self.assertEqual(lines[:4], [
            "gateway.receive @home",
            "  bus.forward @home",
            "  message.append @home",
            "    permission.check @home",
        ])  # fmt: skip
        self.assertTrue(self.of(2, "bus.forward").error)
        self.assertFalse(self.of(2, "gateway.receive").error)


class UntracedNodeTests(TracedCase):
    """One of the nodes has tracing switched off."""

    def tracer(self, node_id: int) -> Tracer:
        return NO_TRACER if node_id == 1 else super().tracer(node_id)

    def test_relayed(self) -> None:
        """It breaks nothing: what comes after it hangs on what came before."""
        untraced, home = self.nodes[1], self.nodes[2]
        group_id = next(f"g_{n}" for n in range(2, 99) if self.owner(f"g_{n}") is untraced)
        self.people.put(group_id, ANN, BOB, CY)
        home.connect(CY)
        self.say(home, home.connect(ANN), "a", 1, conversation_id=group_id)
        self.pass_time(0.5)
        self.assertEqual(
            drawn(self.spans.kept),
            ["gateway.receive @2", "  bus.forward @2", "    message.deliver @2"],
        )


class InterleavedTests(TracedCase):
    """Many messages at a time."""

    def test_each_has_its_own(self) -> None:
        """Fifty from both nodes into one batch and the next, every other one sampled: each trace is whole, and its
        own."""
        bob, cy = self.owning.connect(BOB), self.home.connect(CY)
        self.log.hold()
        for number in range(50):
            trace_id = 1 + number if number % 2 else 0
            if number % 4 < 2:
                self.say(self.home, self.ann, f"m{number}", trace_id)
            else:
                self.say(self.owning, bob, f"m{number}", trace_id)
        self.pass_time(0.5)
        self.log.release()
        self.pass_time(0.5)
        self.assertEqual(len(cy.seqs()), 50)
        self.assertLess(len(self.log.batches), 4)
        traces = by_trace(self.spans.kept)
        self.assertEqual(set(traces), {f"{number + 1:032x}" for number in range(1, 50, 2)})
        for number in range(1, 50, 2):
            lines = self.drawn(number + 1)
            if number % 4 < 2:
                self.assertEqual(lines[1], "  bus.forward @home")
                self.assertEqual(lines[-1], "          message.deliver @home")
            else:
                self.assertEqual(lines[-1], "        message.deliver @home")
            self.assertEqual(sum("store.append" in line for line in lines), 1)
        # What the spans of a trace say is of this very message, not of another one of its batch.
        seq_of = {client_msg_id: seq for seq, client_msg_id in self.stored()}
        for number in range(1, 50, 2):
            seqs = {s.attributes["im.seq"] for s in traces[f"{number + 1:032x}"] if "im.seq" in s.attributes}
            self.assertEqual(seqs, {seq_of[f"m{number}"]})
        batches = [span.attributes["im.batch_messages"] for span in self.spans.named("store.append")]
        self.assertGreater(max(batches), 20)
        self.assertIsNone(carried())

    def test_unsampled_leave_nothing(self) -> None:
        """Messages that are not sampled have no spans, and nothing of them is carried on the bus."""
        seen: list[object] = []

        async def subscriber(_: str, __: bytes) -> None:
            seen.append(carried())

        self.bus.subscribe("im.message.>", subscriber)
        bob = self.owning.connect(BOB)
        self.say(self.owning, bob, "a", 0)
        self.say(self.home, self.ann, "b", 0)
        self.pass_time(0.5)
        self.assertEqual(self.spans.kept, [])
        self.assertTrue(seen)
        self.assertEqual(set(seen), {None})
