"""The command line: this machine only, bounded, and sensible by default."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.client.load.options import loopback, parse
from imd.kernel.errors import StartupError


class LoopbackTests(SynchronousTestCase):
    """A load generator aimed elsewhere is a weapon."""

    def test_this_machine(self) -> None:
        """Loopback addresses are taken in every spelling."""
        self.assertEqual(loopback("127.0.0.1:7711", default_port=1), ("127.0.0.1", 7711))
        self.assertEqual(loopback("localhost", default_port=7700), ("127.0.0.1", 7700))
        self.assertEqual(loopback("tcp://127.4.5.6:1", default_port=7700), ("127.4.5.6", 1))
        self.assertEqual(loopback("[::1]:7", default_port=7700), ("::1", 7))

    def test_other_machines(self) -> None:
        """Every other host is refused, also those whose name only looks local."""
        for url in (
            "10.0.0.1:7700",
            "0.0.0.0:7700",
            "example.org",
            "localhost.example.org:1",
            "",
            "tcp://127.0.0.1:x",
        ):
            with self.assertRaises(StartupError):
                loopback(url, default_port=7700)


class ParseTests(SynchronousTestCase):
    """What the scenarios default to, and what is refused."""

    def test_defaults(self) -> None:
        """Each scenario has its own number of connections; reconnect kills the own server once."""
        self.assertEqual(parse(["p2p"]).connections, 100)
        self.assertEqual(parse(["group"]).senders, 1)
        reconnect = parse(["reconnect"])
        self.assertEqual((reconnect.connections, reconnect.kills, reconnect.jitter_s), (2000, 1, 5.0))
        self.assertEqual(parse(["reconnect", "--url", "127.0.0.1:1"]).kills, 0)

    def test_pairs_are_even(self) -> None:
        """Nobody is left without a peer."""
        self.assertEqual(parse(["p2p", "--connections", "7"]).connections, 8)

    def test_bounds(self) -> None:
        """Counts and times have limits, whatever is asked."""
        for arguments in (
            ["idle", "--connections", "10000000"],
            ["p2p", "--seconds", "100000"],
            ["p2p", "--window", "-1"],
            ["p2p", "--bytes", "1000000"],
            ["p2p", "--kills", "1", "--url", "127.0.0.1:1"],
            ["reconnect", "--rate", "0"],
            ["p2p", "--set", "nonsense"],
        ):
            with self.assertRaises(StartupError, msg=str(arguments)):
                parse(arguments)

    def test_settings(self) -> None:
        """--set reaches the own server's configuration as it was written."""
        self.assertEqual(
            parse(["p2p", "--set", "gateway.flush_interval_ms=5"]).settings,
            (("gateway.flush_interval_ms", "5"),),
        )
