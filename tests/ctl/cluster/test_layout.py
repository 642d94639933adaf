"""Which nodes there are, and where."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.cluster.engine import PORTS
from imd.ctl.cluster.layout import Layout, read_layout, write_layout
from imd.ctl.cluster.process import EngineError


class Layouts(SynchronousTestCase):
    """``Layout``."""

    def test_ports(self) -> None:
        """Ports follow from the base port, and no two listeners share one, however many nodes there are."""
        layout = Layout(cores=10, business=5, admins=5).with_ports()
        self.assertEqual(layout.ports["core-2"], {"tcp": 7701, "http": 7781, "metrics": 7761})
        self.assertEqual(layout.ports["business-1"], {"http": 7790, "metrics": 7770})
        self.assertEqual(layout.ports["admin-1"], {"http": 7795, "metrics": 7775})
        taken = [port for of_node in layout.ports.values() for port in of_node.values()]
        self.assertEqual(len(taken), len(set(taken)))

    def test_free_ports(self) -> None:
        """Base port 0 takes free ones, below those that the kernel gives to outgoing connections."""
        layout = Layout(base_port=0).with_ports()
        for of_node in layout.ports.values():
            for port in of_node.values():
                self.assertIn(port, PORTS)

    def test_one_more(self) -> None:
        """A further node leaves the others where they are."""
        small = Layout(base_port=0).with_ports()
        large = Layout(base_port=0, cores=3, ports=small.ports).with_ports()
        self.assertEqual({name: large.ports[name] for name in small.ports}, small.ports)
        self.assertIn("core-3", large.ports)

    def test_older_folder(self) -> None:
        """A folder that was made before nodes had a port for metrics gets one; the others stay."""
        older = Layout(
            cores=1, business=1, admins=0, ports={"core-1": {"tcp": 1, "http": 2}, "business-1": {"http": 3}}
        )
        self.assertEqual(
            older.with_ports().ports,
            {"core-1": {"tcp": 1, "http": 2, "metrics": 7760}, "business-1": {"http": 3, "metrics": 7770}},
        )

    def test_kept(self) -> None:
        """What is written is read again; what was never written is None; what is damaged is said."""
        folder = Path(self.mktemp())
        self.assertIsNone(read_layout(folder))
        folder.mkdir()
        layout = Layout(cores=3, settings={"limits": {"user_burst": 5}}).with_ports()
        write_layout(folder, layout)
        self.assertEqual(read_layout(folder), layout)
        (folder / "cluster.json").write_text("{")
        with self.assertRaisesRegex(EngineError, "cluster.json is damaged"):
            read_layout(folder)

    def test_bounds(self) -> None:
        """Too many, too few, and ports that cannot be, are refused."""
        for layout, words in (
            (Layout(cores=0), "0 im-core; expected 1 to 10"),
            (Layout(business=6), "6 im-business; expected 1 to 5"),
            (Layout(mongo_members=2), "2 members"),
            (Layout(base_port=80), "ports from 80"),
        ):
            with self.assertRaisesRegex(EngineError, words):
                layout.check()
