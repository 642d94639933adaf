"""The manhole of a real server, with OpenSSH."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.cluster.engine import free_port
from imd.ops.manhole.server import MAX_STRANGERS
from tests.live.roles import RoleNode
from tests.live.server import LiveServer
from tests.live.standalone_client import Login, Rest
from tests.live.standalone_wire import TcpWire

PATIENCE_S = 60
#: Connects the standard input and output with a unix socket, as ``nc -U`` does.
_TO_SOCKET = """
import os, socket, sys, threading
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
def back():
    while data := peer.recv(65536):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    os._exit(0)
threading.Thread(target=back, daemon=True).start()
while data := sys.stdin.buffer.read1(65536):
    peer.sendall(data)
"""


def scraped(url: str) -> str:
    """What is answered there."""
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        text: str = answer.read().decode()
    return text


class ManholeCase(SynchronousTestCase):
    """A server with a manhole, and two people with keys, one of whom may come in."""

    timeout = 300

    def setUp(self) -> None:
        for program in ("ssh", "ssh-keygen"):
            if shutil.which(program) is None:
                if os.environ.get("CI"):
                    self.fail(f"{program} is not installed: tools/servers")
                raise SkipTest(f"{program} is not installed")

    def serve(self, listen: str, **values: object) -> LiveServer:
        server = LiveServer()
        self.addCleanup(server.close)
        authorized = self.make_keys(server.folder)
        keys = {"listen": listen, "authorized_keys_file": str(authorized), **values}
        lines = [
            f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}"
            for key, value in keys.items()
        ]
        with server.config_file.open("a") as file:
            file.write("\n[manhole]\n" + "\n".join(lines) + "\n")
        server.start()
        return server

    def make_keys(self, folder: Path) -> Path:
        """Those of both, and the file that names the one who may come in."""
        self.folder = folder
        for name in ("alice", "mallory"):
            self.run_program("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", name)
        authorized = folder / "authorized_keys"
        shutil.copy(folder / "alice.pub", authorized)
        authorized.chmod(0o600)
        return authorized

    def run_program(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def ssh(
        self, *arguments: str, key: str = "alice", options: tuple[str, ...] = (), stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return self.run_program(*self.command(*options, key=key), *arguments, stdin=stdin)

    def command(self, *options: str, key: str = "alice") -> tuple[str, ...]:
        """ssh, as far as the name of the host."""
        return (
            "ssh",
            "-F/dev/null",
            "-oStrictHostKeyChecking=accept-new",
            f"-oUserKnownHostsFile={self.folder / 'known_hosts'}",
            "-oIdentitiesOnly=yes",
            "-oIdentityAgent=none",
            "-oBatchMode=yes",
            "-oLogLevel=ERROR",
            f"-i{self.folder / key}",
            *options,
            "ops@127.0.0.1",
        )

    def connected(self, server: LiveServer) -> tuple[Login, TcpWire]:
        """Somebody who is connected."""
        login = Rest(server.http_url).register("carol", "correct horse battery", "carols-phone")
        wire = TcpWire("127.0.0.1", server.tcp_port)
        self.addCleanup(wire.close)
        wire.send({"connect": {"token": login.token, "deviceId": login.device_id, "platform": "ios"}})
        answer = wire.receive(PATIENCE_S)
        assert answer is not None
        self.assertIn("connected", answer)
        return login, wire

    def assert_answers(self, wire: TcpWire) -> None:
        """Chat goes on for somebody who is connected."""
        wire.send({"hb": {}})
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            answer = wire.receive(max(0.0, deadline_s - time.monotonic()))
            assert answer is not None, "no answer"
            if "hb" in answer:
                return


class Port(ManholeCase):
    """On a port of this machine."""

    def setUp(self) -> None:
        super().setUp()
        self.port = free_port()
        self.server = self.serve(f"127.0.0.1:{self.port}", max_sessions=2)
        self.options = (f"-p{self.port}",)

    def test_operator(self) -> None:
        """An operator sees who is connected; what fails is told; everything is in the log and in the audit."""
        login, wire = self.connected(self.server)
        shown = self.ssh("sessions()", options=self.options)
        self.assertEqual((shown.returncode, shown.stderr), (0, ""))
        self.assertIn("carols-phone", shown.stdout)
        shown = self.ssh('who("carol")', options=self.options)
        self.assertIn(f"user {login.user_id}", shown.stdout)
        self.assertIn("carols-phone", shown.stdout)
        failed = self.ssh("1/0", options=self.options)
        self.assertEqual(failed.returncode, 1)
        self.assertIn("ZeroDivisionError", failed.stdout)
        endless = self.ssh("while True: pass", options=self.options)
        self.assertIn("nobody could chat", endless.stdout)
        refused = self.ssh("1" * 20_000, options=self.options)
        self.assertEqual((refused.returncode, refused.stdout), (1, "a line has 16384 characters at most\n"))
        self.assert_answers(wire)
        for words in ("alice is in, as ops with SHA256:", "alice typed: sessions()", "alice typed: 1/0"):
            self.assertIn(words, self.server.log)
        self.assert_kept("manhole.login", "manhole.line")

    def assert_kept(self, *actions: str) -> None:
        token = (self.server.data_dir / "secrets" / "operator.token").read_text().strip()
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            kept = Rest(self.server.http_url).call("GET", "/operator/audit", token=token)["events"]
            if set(actions) <= {event["action"] for event in kept}:
                return
            self.assertLess(time.monotonic(), deadline_s, kept)
            time.sleep(0.1)

    def test_commands(self) -> None:
        """Each command shows what there is, of a user and a conversation that the process serves."""
        login, wire = self.connected(self.server)
        other = Rest(self.server.http_url).register("dave", "correct horse battery", "daves-phone")
        conversation_id = self.stored(wire, other)
        expected = {
            f"conversation({conversation_id!r})": ("last seq in the store", "members", login.user_id),
            f"sessions({login.user_id})": ("carols-phone",),
            "shards()": ("256",),
            "queues()": ("sends without a final answer", "NORMAL"),
            "limits('user_burst')": ("limits.user_burst",),
            "slowest()": ("message log: append", "database"),
            "account('dave')": (other.user_id, "active"),
            "logins('carol')": ("carols-phone", "127.0.0.1"),
            "pools()": ("database calls",),
            "health()": ("ready", "log lines lost"),
            "log_level('debug', 'imd.bus')": ("imd.bus",),
            "who('nobody')": ("there is no user 'nobody'",),
            "help(conversation)": ("Never what is said in it.",),
        }
        for line, words in expected.items():
            shown = self.ssh(line, options=self.options).stdout
            for word in words:
                self.assertIn(word, shown, line)

    def test_drain(self) -> None:
        """Once told to, the server lets nobody in, says so to whoever asks, and sends its clients away; it stays."""
        _, wire = self.connected(self.server)
        self.assertIn("imd_ready 1.0", scraped(self.server.metrics_url))
        self.assertIn("draining, 1 connections", self.ssh("drain(now=True)", options=self.options).stdout)
        deadline_s = time.monotonic() + PATIENCE_S
        while "reconnect" not in (wire.receive(1) or {}):
            self.assertLess(time.monotonic(), deadline_s)
        # The page is made once for several who ask in a row.
        while "imd_ready 0.0" not in scraped(self.server.metrics_url):
            self.assertLess(time.monotonic(), deadline_s)
            time.sleep(0.1)
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", self.server.tcp_port), PATIENCE_S)
        for path in ("/readyz", "/api/v1/gateways"):
            with self.assertRaises(urllib.error.HTTPError) as refused:
                scraped(f"{self.server.http_url}{path}")
            self.assertEqual(refused.exception.code, 503, path)
            refused.exception.close()
        wire.close()
        self.assertIn("NOT ready", self.ssh("health()", options=self.options).stdout)

    def stored(self, wire: TcpWire, receiver: Login) -> str:
        """The conversation of a message that was stored."""
        send = {
            "peerUserId": receiver.user_id,
            "clientMsgId": "one",
            "type": "TEXT",
            "textContent": "not for operators",
        }
        wire.send({"send": send})
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            self.assertLess(time.monotonic(), deadline_s)
            ack = (wire.receive(1) or {}).get("ack", {})
            if ack.get("status") == "STORED":
                return str(ack["conversationId"])

    def test_terminal(self) -> None:
        """At a terminal it is a prompt, which Ctrl-D ends."""
        shown = self.ssh(options=("-tt", *self.options), stdin="shards()\rhelp()\r\x04")
        self.assertEqual(shown.returncode, 0, shown.stdout)
        for words in ("imd> ", "this one, alone", "conversation(conversation_id, limit=40)"):
            self.assertIn(words, shown.stdout)

    def test_refused(self) -> None:
        """Another key, no key and a password are refused and told; so is what a shell would give; chat goes on."""
        _, wire = self.connected(self.server)
        refused = self.ssh("sessions()", key="mallory", options=self.options)
        self.assertEqual(refused.returncode, 255)
        self.assertIn("Permission denied (publickey)", refused.stderr)
        self.assertIn("is not among the authorized keys", self.server.log)
        password = self.ssh("1", options=("-oPreferredAuthentications=password", *self.options))
        self.assertEqual(password.returncode, 255)
        self.assertIn("Permission denied (publickey)", password.stderr)
        with socket.create_connection(("127.0.0.1", self.port)) as stranger:
            stranger.sendall(b"SSH-2.0-x\r\n" + b"\0\0\0\x0c\x0a\x14" + bytes(10))
            stranger.settimeout(PATIENCE_S)
            self.read_to_the_end(stranger)
        self.assertIn("refused somebody with what is no SSH", self.server.log)
        self.assertNotIn("Traceback", self.server.log)
        forwarded = self.ssh(
            "1", options=("-oExitOnForwardFailure=yes", f"-R{free_port()}:127.0.0.1:1", *self.options)
        )
        self.assertEqual(forwarded.returncode, 255)
        self.assertEqual(self.ssh("-s", "sftp", options=self.options).returncode, 255)
        (self.folder / "authorized_keys").chmod(0o666)
        self.assertEqual(self.ssh("1", options=self.options).returncode, 255)
        self.assertIn("chmod 0600", self.server.log)
        self.assert_answers(wire)

    def read_to_the_end(self, peer: socket.socket) -> None:
        try:
            while peer.recv(4096):
                """What it has to say first."""
        except ConnectionResetError:
            """Thrown out."""

    def test_too_many(self) -> None:
        """There are so many operators in at a time; strangers who only hold connections keep nobody out."""
        strangers = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(MAX_STRANGERS + 3)]
        for each in strangers:
            self.addCleanup(each.close)
        self.assertEqual(self.ssh("1 + 1", options=self.options).stdout, "2\n")
        held = [
            subprocess.Popen(
                self.command("-tt", *self.options), stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            for _ in range(2)
        ]
        for process in held:
            self.addCleanup(process.communicate)
            assert process.stdout is not None
            self.assertIn(b"help() lists", process.stdout.readline())
        self.assertEqual(self.ssh("1", options=self.options).returncode, 255)
        self.assertIn("there are enough sessions already", self.server.log)


class Nodes(ManholeCase):
    """Of one of two im-core nodes."""

    def test_drain(self) -> None:
        """A node that is told to drain has no client sent to it any more, and the other one has all shards."""
        folder = Path(tempfile.mkdtemp(prefix="imd-manhole-"))
        self.addCleanup(shutil.rmtree, folder)
        authorized = str(self.make_keys(folder))
        ports = {number: free_port() for number in (1, 2)}
        cores = [
            self.node("core", number, {"listen": f"127.0.0.1:{port}", "authorized_keys_file": authorized})
            for number, port in ports.items()
        ]
        business = self.node("business", 1, {})
        first, second = (each.node.tcp_url for each in cores)

        def sent_to() -> set[str]:
            status, told = business.ask("GET", "/api/v1/gateways")
            return {each["tcp"] for each in told["gateways"]} if status == 200 else set()

        business.wait_for(lambda: sent_to() >= {first, second}, "gateways")
        drained = self.ssh("drain(now=True)", options=(f"-p{ports[1]}",))
        self.assertIn("draining, 0 connections", drained.stdout)
        self.assertEqual(cores[0].missing(), {"node": "draining"})
        business.wait_for(lambda: first not in sent_to() and second in sent_to(), "other gateways")
        cores[1].wait_for(lambda: self.shards_of_second(ports[2]) == "256", "shards")
        # What has been stopped already does not hold up the end of the process.
        cores[0].terminate()
        cores[0].wait_end()
        self.assertIn("Server Shut Down", cores[0].log)
        self.assertNotIn("Traceback", cores[0].log)

    def node(self, role: str, number: int, manhole: dict[str, object]) -> RoleNode:
        node = RoleNode(role, number=number, settings={"manhole": manhole} if manhole else {})
        self.addCleanup(node.close)
        node.start()
        return node

    def shards_of_second(self, port: int) -> str:
        rows = self.ssh("shards()", options=(f"-p{port}",)).stdout.splitlines()
        return next((row.split()[-2] for row in rows if row.startswith("2 (this one)")), "")


class Socket(ManholeCase):
    """On a unix socket."""

    def test_operator(self) -> None:
        """By a unix socket, which is its owner's alone, also after the server was killed; an idle session ends."""
        server = self.serve("./manhole-{node_id}", idle_timeout_s=2)
        path = self.folder / "manhole-0"
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        script = self.folder / "to_socket.py"
        script.write_text(_TO_SOCKET)
        options = (f"-oProxyCommand={sys.executable} {script} {path}",)
        self.assertEqual(self.ssh("1 + 1", options=options).stdout, "2\n")
        self.assertIn(f"of user {os.getuid()}", server.log)
        first = Path(self.folder / "manhole_host_key").read_bytes()
        server.kill()
        server.start()
        self.assertEqual(Path(self.folder / "manhole_host_key").read_bytes(), first)
        self.assertEqual(self.ssh("1 + 1", options=options).stdout, "2\n")
        with subprocess.Popen(
            self.command("-tt", *options),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as idle:
            # Its standard input stays open, and nothing comes.
            self.assertEqual(idle.wait(PATIENCE_S), 255)
        self.assertIn("nothing was typed for 2 s", server.log)
