"""Two configurations, by turns."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.client.load.against import Comparison, compare
from imd.client.load.options import Options, parse
from imd.client.load.result import Result
from imd.kernel.errors import StartupError

#: What a run costs on this machine, from minute to minute.
NOISE = (10.0, 20.0, 40.0, 10.0, 20.0, 10.0)


class AgainstTests(SynchronousTestCase):
    """``tools/bench --against``."""

    def setUp(self) -> None:
        self.order: list[str] = []
        self.lost = 0

    def run_(self, options: Options) -> Result:
        costs = dict(options.settings).get("tracing.enabled") == "true"
        noise = NOISE[len(self.order) // 2]
        self.order.append("B" if costs else "A")
        return Result(
            scenario="p2p",
            connections=2,
            counts={"sent": 1, "stored": 1},
            lost=self.lost,
            server_cpu_us_per_message=noise * (1.1 if costs else 1.0),
            rate_per_s=1000.0,
        )

    def test_by_turns(self) -> None:
        """Both in each round, the other way round in every second one; noise between rounds is not in the ratio."""
        options = parse(["p2p", "--against", "tracing.enabled=true", "--rounds", "3"])
        found = compare(options, options.against, rounds=3, run=self.run_, say=lambda _: None).as_dict()
        self.assertEqual("".join(self.order), "ABBAAB")
        self.assertEqual(found["server_cpu_us_per_message_ratio"], 1.1)
        self.assertEqual(found["server_cpu_us_per_message"], 20.0)
        self.assertEqual(found["rate_per_s_ratio"], 1.0)

    def test_trust(self) -> None:
        """Of ten rounds the second lowest and the second highest ratio enclose the median with 95 % confidence."""
        ratios = [1.0, 1.3, 0.7, 1.1, 1.2, 0.9, 1.05, 0.8, 1.15, 0.95]
        rounds = [(_costs(50.0), _costs(50.0 * ratio)) for ratio in ratios]
        found = Comparison(against=(), rounds=rounds).as_dict()
        self.assertEqual(found["server_cpu_us_per_message_ratio"], 1.025)
        self.assertEqual(found["server_cpu_us_per_message_ratio_from"], 0.8)
        self.assertEqual(found["server_cpu_us_per_message_ratio_to"], 1.2)

    def test_few_rounds(self) -> None:
        """Of fewer than six rounds all are told: no part of them is sure enough."""
        for count in (1, 2, 5):
            rounds = [(_costs(50.0), _costs(50.0 + each)) for each in range(count)]
            found = Comparison(against=(), rounds=rounds).as_dict()
            self.assertEqual(found["server_cpu_us_per_message_ratio_from"], 1.0)
            self.assertEqual(found["server_cpu_us_per_message_ratio_to"], (50.0 + count - 1) / 50.0)

    def test_wrong(self) -> None:
        """One lost message in any run is a failure."""
        self.lost = 1
        options = parse(["p2p", "--against", "tracing.enabled=true"])
        found = compare(options, options.against, rounds=1, run=self.run_, say=lambda _: None)
        self.assertEqual(found.wrong, ["1 lost", "1 lost"])

    def test_own_servers(self) -> None:
        """A server that runs already cannot be given other settings."""
        self.assertRaises(StartupError, parse, ["p2p", "--against", "a.b=1", "--url", "127.0.0.1:7700"])
        self.assertRaises(StartupError, parse, ["p2p", "--against", "nonsense"])


def _costs(server_cpu_us: float) -> Result:
    return Result(
        scenario="p2p",
        connections=2,
        counts={},
        server_cpu_us_per_message=server_cpu_us,
        rate_per_s=1000.0,
    )
