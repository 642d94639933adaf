"""A real server at its limits: files, disk, rates. It says so, goes on, and recovers."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from imd.client.load.crowd import Crowd
from tests.live.neighbourhood import (
    client_of,
    cpu_s,
    inhabited_server,
    login_of,
    undisturbed,
)
from tests.live.server import LiveServer
from tests.live.standalone_client import Client
from tests.live.standalone_proto import Json
from tests.live.standalone_wire import TcpWire

OPEN_FILES = 80
#: Who accepts in vain, again and again, never does.
REST_WITHIN_S = 20


def _text(client_msg_id: str, peer: str, text: str = "x") -> Json:
    return {"send": {"peerUserId": peer, "clientMsgId": client_msg_id, "type": "TEXT", "textContent": text}}


class FilesTests(SynchronousTestCase):
    """No file descriptor is left."""

    def test_recovers(self) -> None:
        """Who is connected talks on, the processor rests, and later connections are taken again."""
        server, crowd = inhabited_server(people=4)
        self.addCleanup(server.close)
        server.start()
        with undisturbed(server, crowd):
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
            flood = [socket.socket() for _ in range(150)]
            for each in flood:
                each.setblocking(False)
                each.connect_ex(("127.0.0.1", server.tcp_port))
            self.assertTrue(self.rests(server))
            for each in flood:
                each.close()
            time.sleep(0.5)
            client_of(server, crowd, 0).close()
        self.assertLess(len(server.log.splitlines()), 60, server.log[-2000:])

    def rests(self, server: LiveServer) -> bool:
        """Whether it comes to use less than half a processor; on a busy machine what came before takes a while."""
        for _ in range(REST_WITHIN_S):
            before_s = cpu_s(server.pid)
            time.sleep(1)
            if cpu_s(server.pid) - before_s < 0.5:
                return True
        return False


class RatesTests(SynchronousTestCase):
    """The default rates, as a client meets them."""

    def setUp(self) -> None:
        limits = {
            "user_text_per_min": 30,
            "user_burst": 30,
            "device_frames_per_s": 100,
            "ip_frames_per_s": 2000,
        }
        self.server, self.crowd = inhabited_server(people=6, settings={"limits": limits})
        self.addCleanup(self.server.close)
        self.server.start()

    def wire(self, index: int) -> TcpWire:
        login = login_of(self.crowd, index)
        wire = TcpWire("127.0.0.1", self.server.tcp_port)
        wire.send({"connect": {"token": login.token, "deviceId": login.device_id, "acks": "ACK_FINAL_ONLY"}})
        wire.receive(5)
        wire.receive(5)
        return wire

    def test_message_flood(self) -> None:
        """30 messages are taken, each of the rest is told when to come again; coming back refills nothing."""
        peer = login_of(self.crowd, 1).user_id
        wire = self.wire(0)
        answers = []
        for number in range(40):
            wire.send(_text(f"m{number}", peer))
            answers.append(wire.receive(5) or {})
        statuses = [answer["ack"]["status"] for answer in answers]
        self.assertEqual(statuses[:30], ["STORED"] * 30)
        self.assertEqual(set(statuses[31:]), {"FAILED"})
        error = answers[-1]["ack"]["error"]
        self.assertEqual((error["code"], error["retryable"]), ("RATE_LIMITED", True))
        self.assertGreater(error["retryAfterMs"], 0)
        wire.close()
        again = self.wire(0)
        again.send(_text("again", peer))
        answer = again.receive(5) or {}
        self.assertEqual(answer["ack"]["status"], "FAILED")
        again.close()

    def test_frame_flood(self) -> None:
        """10,000 heartbeats at once: every one is answered, most with RATE_LIMITED; a neighbour notices little."""
        wire, neighbour = self.wire(2), self.wire(3)
        wire.send_raw(b"\x04\x62\x02\x08\x01" * 10_000)
        began_s = time.monotonic()
        neighbour.send({"hb": {"sentAt": "1"}})
        self.assertIn("hb", neighbour.receive(5) or {})
        self.assertLess(time.monotonic() - began_s, 0.2)
        codes = []
        for _ in range(10_000):
            answer = wire.receive(10)
            assert answer is not None
            codes.append(answer.get("error", {}).get("code", "beat"))
        self.assertEqual(set(codes), {"beat", "RATE_LIMITED"})
        self.assertLess(codes.count("beat"), 1000)
        wire.close()
        neighbour.close()


class DiskTests(SynchronousTestCase):
    """The data folder on a file system of 32 MB."""

    def setUp(self) -> None:
        if os.geteuid() != 0:
            raise SkipTest("only root may mount a small tmpfs")
        self.mount = Path(tempfile.mkdtemp(prefix="imd-small-"))
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(self.mount)],
            capture_output=True,
            check=False,
        )
        if mounted.returncode:
            self.mount.rmdir()
            raise SkipTest(f"mount: {mounted.stderr.decode(errors='replace').strip()}")
        self.addCleanup(self.mount.rmdir)
        self.addCleanup(subprocess.run, ["umount", "-l", str(self.mount)], check=False)
        settings = {"": {"data_dir": str(self.mount / "data")}}
        self.server: LiveServer
        self.crowd: Crowd
        self.server, self.crowd = inhabited_server(people=4, settings=settings)
        self.addCleanup(self.server.close)
        self.server.start()

    def statuses(self, client: Client, first: int, count: int) -> list[str]:
        """What becomes of so many messages, one after the other."""
        ended = []
        for number in range(first, first + count):
            sent = client.send_text(login_of(self.crowd, 1).user_id, f"{number} " + "x" * 20_000)
            client.run_until(lambda sent=sent: _settled(client, sent), timeout_s=20)  # type: ignore[misc]
            ended.append(client.acks[sent]["status"])
            client.unacked.clear()
        return ended

    def test_full_and_free_again(self) -> None:
        """A full disk: no STORED that is not, the process stays and recovers without a restart."""
        client = client_of(self.server, self.crowd, 0)
        self.assertEqual(set(self.statuses(client, 0, 3)), {"STORED"})
        filler = self.mount / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
        until_full = self.statuses(client, 10, 5)
        self.assertIn(until_full[-1], ("FAILED", "DELAYED"))
        filler.unlink()
        deadline_s = time.monotonic() + 20
        while self.statuses(client, int(time.monotonic() * 1000), 1) != ["STORED"]:
            self.assertLess(time.monotonic(), deadline_s)
        stored = [text for log in client.log.values() for text in log]
        self.assertGreaterEqual(len(stored), 4)
        client.close()


def _settled(client: Client, client_msg_id: str) -> bool:
    return client.acks.get(client_msg_id, {}).get("status") in ("STORED", "FAILED", "DELAYED")
