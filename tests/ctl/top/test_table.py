"""What is shown."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.top.figures import Figures, down, figures
from imd.ctl.top.judging import findings
from imd.ctl.top.samples import parsed
from imd.ctl.top.table import lines
from tests.ctl.top.nodes import core


def busy() -> Figures:
    """1,000 sends within two seconds, 900 of them within 10 ms."""
    before = parsed(core(500, fast=500, cpu=10.0), at_s=10.0)
    now = parsed(core(1500, fast=1400, cpu=10.5), at_s=12.0)
    return figures("127.0.0.1:9470", before, now, wall_s=1000.0 + 7200.0)


def shown(*nodes: Figures, columns: int = 200, colours: bool = False) -> list[str]:
    return lines(nodes, when="12:00:00", columns=columns, colours=colours)


class Showing(SynchronousTestCase):
    """The lines."""

    def test_figures(self) -> None:
        """Rates, latencies and states of what happened between two scrapes, under their titles."""
        _, _, header, row, *_ = shown(busy())
        values = dict(zip(header.replace(" p", "_p").split(), row.split(), strict=True))
        wanted = {
            "NODE": "core-1",
            "CONN": "42",
            "SEND/s": "500",
            "DELIVER/s": "2,500",
            "ACK_p50": "5.6",
            "ACK_p99": "91.0",
            "QUEUE": "3",
            "SHARDS": "256",
            "CPU": "25%",
            "MEM": "100M",
            "UP": "2h",
            "SETTINGS": "7",
            "WRITE_p99": "-",
        }
        self.assertEqual({name: values[name] for name in wanted}, wanted)

    def test_sums(self) -> None:
        """The first line is about all nodes, those that are down left out."""
        first = shown(busy(), busy(), down("10.0.0.9:9470", "connection refused"))[0]
        for words in ("2 of 3 nodes answer", "84 connections", "1,000 sends/s", "5,000 deliveries/s"):
            self.assertIn(words, first)

    def test_down(self) -> None:
        """A node that is down has its line, with the reason."""
        text = "\n".join(shown(busy(), down("10.0.0.9:9470", "connection refused")))
        self.assertIn("10.0.0.9:9470  down: connection refused", text)

    def test_narrow(self) -> None:
        """No line is wider than the screen; what stays is what matters most."""
        for columns in (10, 20, 40, 80, 132):
            nodes = (busy(), down("some.host.with.a.long.name.example.com:9470", "no answer in 2 s"))
            for line in shown(*nodes, columns=columns):
                self.assertLessEqual(len(line), columns)
        self.assertIn("CONN", shown(busy(), columns=20)[2])
        self.assertNotIn("SETTINGS", shown(busy(), columns=20)[2])

    def test_low(self) -> None:
        """Where there is no room for all, what is down and what is wrong is seen first, and how much is not seen."""
        nodes = [*[busy()] * 30, *(down(f"10.0.0.{number}:9470", "no answer") for number in range(10))]
        for rows in (6, 12, 24, 40):
            text = lines(nodes, when="12:00:00", columns=200, colours=False, rows=rows)
            self.assertLessEqual(len(text), max(rows, 8))
            self.assertIn("30 of 40 nodes answer", text[0])
            self.assertTrue(any(line.startswith("... and ") for line in text))
            if rows > 6:
                self.assertIn("10.0.0.0:9470  down", text[3])
        self.assertEqual(
            lines(nodes, when="", columns=200, colours=False, rows=100),
            lines(nodes, when="", columns=200, colours=False),
        )

    def test_nothing_drives_the_terminal(self) -> None:
        """Names and reasons come from elsewhere: a control character in one is shown, not obeyed."""
        for node in (
            Figures(address="a:1", node="core\x1b[2J\n"),
            Figures(address="a:1", node="core", not_ready=("bus\x1b[2J",)),
            down("a:1", "\x1b]0;owned\x07"),
        ):
            text = "".join(shown(node))
            self.assertNotIn("\x1b", text)
            self.assertNotIn("\n", text)

    def test_colours(self) -> None:
        """Only where they are wanted."""
        nodes = (busy(), down("a:1", "connection refused"))
        self.assertIn("\x1b[31m", "".join(shown(*nodes, colours=True)))
        self.assertNotIn("\x1b", "".join(shown(*nodes)))


class Judging(SynchronousTestCase):
    """What is wrong at first sight."""

    def test_well(self) -> None:
        """Of a system that is well nothing is said."""
        self.assertEqual(findings([busy()]), [])

    def test_each(self) -> None:
        """Everything that somebody should look at has a line; what takes no traffic comes first."""
        node = Figures(address="a:1", node="core-1", shards=200, settings_version=3)
        for other, words, severe in (
            (down("b:1", "connection refused"), "b:1 is down: connection refused", True),
            (down("b:1", "connection refused", node="b"), "b at b:1 is down", True),
            (Figures(address="b:1", node="b", not_ready=("bus",)), "b takes no traffic: bus", True),
            (Figures(address="b:1", node="b", dead_letters=2), "2 events were given up", False),
            (Figures(address="b:1", node="b", reactor_lag_p99_s=0.3), "reactor answers late", False),
            (
                Figures(address="b:1", node="b", breakers_open=("the webhook",)),
                "breaker of the webhook",
                False,
            ),
            (Figures(address="b:1", node="b", away=("Redis",)), "b has no Redis", True),
            (Figures(address="b:1", node="b", settings_version=4), "different versions", False),
            (Figures(address="b:1", node="b", shards=50), "6 of 256 shards", False),
            (Figures(address="b:1", node="b", shards=60), "4 shards have two owners", False),
        ):
            found = [each for each in findings([node, other]) if words in each.text]
            self.assertEqual([each.severe for each in found], [severe], words)
        every = findings([node, down("b:1", "x"), Figures(address="c:1", dead_letters=1)])
        self.assertEqual([each.severe for each in every], [True, False])

    def test_gauges(self) -> None:
        """What is open and away is read from the node's gauges; one that it does not have is neither."""
        text = (
            'imd_auth_check_breaker_state{state="open"} 1\nimd_auth_check_breaker_state{state="closed"} 0\n'
            "imd_content_hook_breaker_open 0\nimd_redis_connected 0\nimd_local_bus_dead_letters_total 3\n"
        )
        node = figures("a:1", None, parsed(text, at_s=0.0), wall_s=0.0)
        self.assertEqual(node.breakers_open, ("permission questions",))
        self.assertEqual((node.away, node.dead_letters), (("Redis",), 3))
        self.assertEqual(figures("a:1", None, parsed("imd_ready 1\n", at_s=0.0), wall_s=0.0).away, ())

    def test_nonsense(self) -> None:
        """Numbers that are none, and buckets without a bound, show as something, and stop nothing."""
        text = "\n".join(
            f"{name} {value}"
            for name in (
                'imd_ack_seconds_bucket{le="soon"}',
                'imd_ack_seconds_bucket{le="NaN"}',
                'imd_ack_seconds_bucket{le="+Inf"}',
                "imd_ack_seconds_bucket",
                "imd_connections",
                "imd_nats_dead_letters_total",
                "imd_shards_owned",
                "imd_settings_version",
                "process_start_time_seconds",
                "process_cpu_seconds_total",
                "process_resident_memory_bytes",
            )
            for value in ("NaN", "+Inf", "-1e300")
        )
        before, now = (parsed(text + "\n", at_s=at_s) for at_s in (1.0, 2.0))
        node = figures("a:1", before, now, wall_s=5.0)
        self.assertEqual(len(shown(node)), 5)
        self.assertEqual((node.connections, node.dead_letters), (None, None))

    def test_not_ready(self) -> None:
        """A node that is not ready says which parts are away, or only that it is not."""
        text = 'imd_ready 0\nimd_part_ready{part="bus"} 0\nimd_part_ready{part="database"} 1\n'
        away = figures("a:1", None, parsed(text, at_s=0.0), wall_s=0.0)
        self.assertEqual(away.not_ready, ("bus",))
        starting = figures("a:1", None, parsed("imd_ready 0\n", at_s=0.0), wall_s=0.0)
        self.assertEqual(starting.not_ready, ("node",))
