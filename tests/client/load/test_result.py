"""What is printed, and what counts as a failure."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from imd.client.load.result import Result
from imd.client.load.tally import Latencies, percentile_ms

#: What the issue promises of --json.
PROMISED = {
    "scenario", "connections", "sent", "stored", "delivered", "lost", "duplicated", "reordered", "rate_per_s",
    "deliveries_per_s", "latency_ms", "server_cpu_us_per_message", "server_rss_bytes", "rss_bytes_per_connection",
}  # fmt: skip


class ResultTests(SynchronousTestCase):
    """The object and the table."""

    def test_json_has_every_promised_key(self) -> None:
        """Also those that do not apply, as null."""
        shown = json.loads(Result(scenario="p2p", connections=2).as_json())
        self.assertEqual(PROMISED - set(shown), set())
        self.assertIsNone(shown["rss_bytes_per_connection"])

    def test_wrong(self) -> None:
        """Lost, duplicated, reordered and unsettled are failures; so is a run that stored nothing."""
        right = {"sent": 5, "stored": 5, "duplicated": 0, "reordered": 0}
        self.assertEqual(Result(scenario="p2p", connections=2, counts=right).wrong, [])
        self.assertEqual(Result(scenario="p2p", connections=2, counts=right, lost=1).wrong, ["1 lost"])
        self.assertEqual(
            Result(scenario="p2p", connections=2, counts=right | {"reordered": 2}).wrong, ["2 reordered"]
        )
        self.assertEqual(
            Result(scenario="p2p", connections=2, counts=right | {"duplicated": 3}).wrong, ["3 duplicated"]
        )
        self.assertEqual(
            Result(scenario="p2p", connections=2, counts={"sent": 4}).wrong, ["nothing was stored"]
        )

    def test_table_always_shows_what_matters(self) -> None:
        """Zeros are left out, but not these."""
        table = Result(scenario="p2p", connections=2).as_table()
        for name in ("lost", "duplicated", "reordered"):
            self.assertIn(name, table)
        self.assertNotIn("refused", table)


class LatencyTests(SynchronousTestCase):
    """The histogram."""

    def test_percentiles(self) -> None:
        """Of 1..100 ms, p50 is 50 ms and p99 is 99 ms, to the width of a bucket."""
        latencies = Latencies()
        for milliseconds in range(1, 101):
            latencies.add(milliseconds * 1_000_000)
        self.assertApproximates(percentile_ms(latencies.pairs(), 0.5) or 0, 50, 0.06)
        self.assertApproximates(percentile_ms(latencies.pairs(), 0.99) or 0, 99, 0.06)
        self.assertEqual(latencies.max_ns, 100_000_000)

    def test_merging_workers(self) -> None:
        """Pairs of several processes are one distribution."""
        self.assertEqual(percentile_ms([(0, 1), (9, 1), (0, 98)], 0.99), 0.05)

    def test_slower_than_the_histogram(self) -> None:
        """A minute and a half is counted in the last bucket, and kept as the maximum."""
        latencies = Latencies()
        latencies.add(90_000_000_000)
        self.assertEqual(percentile_ms(latencies.pairs(), 0.5), 60_000)
        self.assertEqual(latencies.max_ns, 90_000_000_000)

    def test_nothing(self) -> None:
        """No messages, no latency."""
        self.assertIsNone(percentile_ms([], 0.99))
