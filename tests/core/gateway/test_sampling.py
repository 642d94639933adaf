"""Which messages are traced."""

from __future__ import annotations

from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.core.gateway.sampling import Sampling
from imd.kernel.trace_context import TraceContext

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
FORCED = f"00-{TRACE}-{SPAN}-01"
#: By its lower half, sampled at any ratio above 0.
LOW = "ffffffffffffffff0000000000000001"


class SamplingCase(SynchronousTestCase):
    """A node, and what its clients say."""

    def setUp(self) -> None:
        self.clock = Clock()

    def sampling(self, ratio: float, chosen_per_s: float = 1.0) -> Sampling:
        random_bits = Random(5).getrandbits
        return Sampling(ratio=ratio, chosen_per_s=chosen_per_s, random_bits=random_bits, clock=self.clock)

    def traced(self, sampling: Sampling, count: int) -> list[TraceContext]:
        """The traces of so many messages that name none."""
        found: list[TraceContext] = []
        for _ in range(count):
            if sampling.skip:
                sampling.skip -= 1
            elif (parent := sampling.of_server()) is not None:
                found.append(parent)
        return found


class ServersChoice(SamplingCase):
    """Messages that name no trace."""

    def test_ratio(self) -> None:
        """About as many as the ratio says, by ids for which every node would decide the same."""
        for ratio in (0.01, 0.5):
            found = self.traced(self.sampling(ratio), 100_000)
            self.assertLess(abs(len(found) - ratio * 100_000), 0.1 * ratio * 100_000)
            self.assertEqual(len(set(found)), len(found))
            for parent in found:
                self.assertEqual(parent.span_id, 0)
                self.assertLess(parent.trace_id & (1 << 64) - 1, ratio * (1 << 64))
                self.assertLess(parent.trace_id, 1 << 128)

    def test_all_and_none(self) -> None:
        """A ratio of 1 is every message, one of 0 none; a ratio so small that it is lost in the arithmetic as well."""
        self.assertEqual(len(self.traced(self.sampling(1), 1000)), 1000)
        for ratio in (0.0, 1e-300):
            self.assertEqual(self.traced(self.sampling(ratio), 100_000), [])

    def test_changed(self) -> None:
        """Another ratio holds from the next message on, also when the wait for the next one was long."""
        sampling = self.sampling(0)
        sampling.change(ratio=1, chosen_per_s=1)
        self.assertEqual(len(self.traced(sampling, 10)), 10)


class ClientsChoice(SamplingCase):
    """Messages that name one."""

    def test_forced(self) -> None:
        """A traceparent that asks for it is followed, below the client's own span."""
        found = self.sampling(0).of_client(FORCED)
        self.assertEqual(found, TraceContext(int(TRACE, 16), int(SPAN, 16)))

    def test_forms(self) -> None:
        """An id alone, a UUID, and a traceparent that asks for nothing are sampled by the ratio."""
        uuid = f"{LOW[:8]}-{LOW[8:12]}-{LOW[12:16]}-{LOW[16:20]}-{LOW[20:]}"
        for said, parent in (
            (LOW, TraceContext(int(LOW, 16), 0)),
            (LOW.upper(), TraceContext(int(LOW, 16), 0)),
            (uuid, TraceContext(int(LOW, 16), 0)),
            (f"00-{LOW}-{SPAN}-00", TraceContext(int(LOW, 16), int(SPAN, 16))),
        ):
            self.assertEqual(self.sampling(0.01).of_client(said), parent, said)
            self.assertIsNone(self.sampling(0).of_client(said), said)
        self.assertIsNone(self.sampling(0.01).of_client(TRACE))
        self.assertIsNotNone(self.sampling(1).of_client(TRACE))

    def test_bounded(self) -> None:
        """However clients choose their ids, no more come of it than the rate allows."""
        for said in (FORCED, LOW):
            sampling = self.sampling(0.01, chosen_per_s=2)
            found = sum(sampling.of_client(said) is not None for _ in range(10_000))
            self.assertEqual(found, 20)
            self.clock.advance(3)
            found = sum(sampling.of_client(said) is not None for _ in range(10_000))
            self.assertEqual(found, 6)
            # The server's own choice does not suffer.
            self.assertGreater(len(self.traced(sampling, 100_000)), 900)
        self.assertIsNone(self.sampling(1, chosen_per_s=0).of_client(FORCED))

    def test_nonsense(self) -> None:
        """What is no trace id is for the client's own log, whatever it is."""
        sampling = self.sampling(1, chosen_per_s=1000)
        for said in (
            "x",
            "trace 7",
            "0" * 32,
            "-" * 32,
            "٣" * 32,
            "g" * 32,
            "a" * 31,
            "a" * 33,
            "a" * 1_000_000,
        ):
            self.assertIsNone(sampling.of_client(said), said[:40])
