"""Sockets of processes, against what a configuration opens."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.config.address import Address
from imd.ctl.doctor import listeners
from imd.ctl.doctor.finding import Finding, Level
from imd.ctl.doctor.listeners import Place, Wanted
from imd.ctl.doctor.sockets import Unreadable, listeners_at, listening
from imd.ctl.doctor.targets import Target, targets_of

PROC = Path("/proc")


def bad(*findings: Finding) -> list[tuple[str, str]]:
    return [(each.check, each.found) for each in findings if each.level > Level.NOTE]


class Sockets(SynchronousTestCase):
    """What /proc says of this very process."""

    def listener(self, family: socket.AddressFamily, address: tuple[str, int] | str) -> socket.socket:
        opened = socket.socket(family)
        self.addCleanup(opened.close)
        opened.bind(address)
        opened.listen()
        return opened

    def test_listening(self) -> None:
        """TCP on both versions of IP, a unix socket with its path; not what is connected or only bound."""
        before = listening(PROC, os.getpid())
        one = self.listener(socket.AF_INET, ("127.0.0.1", 0))
        two = self.listener(socket.AF_INET6, ("::1", 0))
        folder = tempfile.mkdtemp(prefix="imd-sock-")
        path = f"{folder}/s"
        self.listener(socket.AF_UNIX, path)
        client = socket.create_connection(one.getsockname())
        self.addCleanup(client.close)
        addresses, paths = listening(PROC, os.getpid())
        self.assertEqual(
            addresses - before[0],
            {Address("127.0.0.1", one.getsockname()[1]), Address("::1", two.getsockname()[1])},
        )
        self.assertEqual(paths - before[1], {path})

    def test_who(self) -> None:
        """Who listens on an address, be it on all of the machine's."""
        everywhere = self.listener(socket.AF_INET, ("0.0.0.0", 0)).getsockname()[1]
        wanted, other = Address("127.0.0.1", everywhere), Address("127.0.0.1", 1)
        self.assertEqual(listeners_at(PROC, [wanted, other]), {wanted: {os.getpid()}})

    def test_unreadable(self) -> None:
        """Of a process that is not there nothing can be said."""
        self.assertRaises(Unreadable, listening, PROC, 2**22 + 1)


class Ports(SynchronousTestCase):
    """What is open, against what should be."""

    wanted = (Wanted("listen.tcp", Address("127.0.0.1", 7700)), Wanted("listen.http", Address("::1", 7780)))

    def found(self, *places: Place) -> list[tuple[str, str]]:
        return bad(*listeners.ports("im", self.wanted, set(places)))

    def test_as_it_should_be(self) -> None:
        """All that is configured, and nothing else."""
        self.assertEqual(self.found(*(each.place for each in self.wanted)), [])

    def test_missing_and_more(self) -> None:
        """A port that is closed, one on all addresses instead of one, and a unix socket: each is told."""
        found = self.found(Address("0.0.0.0", 7700), Address("::1", 7780), "/run/x")
        self.assertEqual([check for check, _ in found], ["ports.documented"] * 3)
        self.assertIn("nothing listens on listen.tcp = 127.0.0.1:7700", found[0][1])
        self.assertIn("/run/x", found[1][1])
        self.assertIn("0.0.0.0:7700", found[2][1])

    def test_any_port(self) -> None:
        """Port 0 is whichever the system gave, on that address; a unix socket is known by its path."""
        wanted = [Wanted("listen.tcp", Address("127.0.0.1", 0)), Wanted("manhole.listen", "/run/imd.sock")]
        cases: tuple[tuple[list[Place], int, int], ...] = (
            ([Address("127.0.0.1", 4711), "/run/imd.sock"], 0, 0),
            ([Address("0.0.0.0", 4711)], 2, 1),
            ([Address("127.0.0.1", 1), Address("127.0.0.1", 2)], 1, 1),
        )
        for there, missing, more in cases:
            found = listeners.compared(wanted, there)
            self.assertEqual([len(each) for each in found], [missing, more], there)

    def test_files(self) -> None:
        """Fewer open files than connections."""
        levels = [listeners.files("im", 25_500, limit).level for limit in (1024, 30_000, -1)]
        self.assertEqual(levels, [Level.WARN, Level.OK, Level.OK])
        self.assertGreater(listeners.limit_of(PROC, os.getpid()), 100)


class NotRunning(SynchronousTestCase):
    """A server that does not run."""

    def target(self, text: str) -> Target:
        file = Path(self.mktemp()).absolute()
        file.write_text(f'data_dir = "{self.mktemp()}"\n{text}')
        (target,) = targets_of([f"im={file}"], {})
        return target

    def test_taken(self) -> None:
        """Another program has its port."""
        other = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(other.close)
        target = self.target(
            f'[listen]\ntcp = "127.0.0.1:{other.getsockname()[1]}"\nhttp = "127.0.0.1:0"\n'
            '[gateway]\nmax_connections = 10\n[metrics]\nlisten = ""\n'
        )
        ((check, found),) = bad(*listeners.server(target, proc=PROC))
        self.assertEqual(check, "ports.taken")
        self.assertIn(f"process {os.getpid()}", found)

    def test_public(self) -> None:
        """In the clear beyond this machine, as the configuration permits: a note of what it rests on."""
        target = self.target('[listen]\nhttp = "0.0.0.0:80"\nallow_public_plaintext = true\n')
        (found,) = listeners.public(target)
        self.assertEqual((found.level, "listen.http" in found.found), (Level.NOTE, True))
