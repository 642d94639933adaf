"""HAProxy and nginx, with the files of deploy/, between clients and a real server."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase
from websockets.exceptions import InvalidHandshake

from imd.client.load.crowd import Crowd
from imd.ctl.cluster.engine import free_port
from imd.ctl.cluster.process import Process
from imd.kernel.ids import direct_conversation_id
from tests.live.certificate import write_certificate
from tests.live.neighbourhood import ended_within, inhabited_server, login_of, raw
from tests.live.server import ROOT, LiveServer, Settings
from tests.live.standalone_client import Client
from tests.live.standalone_wire import ConnectionLost, TcpWire, WebSocketWire, Wire

DEPLOY = ROOT / "deploy"
PATIENCE_S = 30.0
#: A connection and an account for each address, and the next in a quarter of an hour at the earliest.
ONE_EACH = {"ip_connects_per_s": 0.001, "registrations_per_hour_per_ip": 1}
#: Paths of operators, otherwise written; Twisted decodes them.
ENCODED = (
    "/api/v1/%73ettings",
    "/api/v1/%6fperator/audit",
    "/api/v1/%6F%70erators/me",
    "/api/v%31/settings/nodes",
    "/%61pi/v1/settings",
    "/api/v1%2Fsettings",
)
#: Or with more in them, which one reader drops, or takes as a step, and another does not.
ROUNDABOUT = (
    "/api/v1//settings",
    "/api//v1/settings",
    "//api/v1/settings",
    "/api/./v1/settings",
    "/api/v1/users/../settings",
    "/api/v1/users/%2e%2e/settings",
    "/api/v1/users%2f..%2fsettings",
    "/api/v1/users/..%5csettings",
    "/api/v1/%2573ettings",
)
#: Of this machine, too; the proxies themselves come from 127.0.0.1.
ALICE, BOB, MALLORY, VICTIM = "127.0.0.7", "127.0.0.8", "127.0.0.66", "127.0.0.9"


def filled(name: str, values: Mapping[str, str]) -> str:
    """A file of deploy/ for one server: the lines of second ones go, and each of the values is put in somewhere."""
    lines = (DEPLOY / name).read_text().splitlines()
    text = "\n".join(line for line in lines if "core-2" not in line and "business-2" not in line) + "\n"
    for shipped, value in values.items():
        assert shipped in text, shipped
        text = text.replace(shipped, value)
    return text


def trusting_server(test: SynchronousTestCase, **limits: float) -> tuple[LiveServer, Crowd]:
    """A server that trusts what comes from 127.0.0.1, and its people."""
    settings: Settings = {"listen": {"trusted_proxies": ["127.0.0.1"]}, "limits": limits}
    server, crowd = inhabited_server(people=2, settings=settings)
    test.addCleanup(server.close)
    server.start()
    return server, crowd


def enters(reach: Callable[[], Wire], crowd: Crowd) -> bool:
    """Whether somebody who comes this way is let in."""
    login = login_of(crowd, 0)
    try:
        wire = reach()
        wire.send({"connect": {"token": login.token, "deviceId": login.device_id}})
        came = wire.receive(PATIENCE_S)
        wire.close()
    except (ConnectionLost, InvalidHandshake):
        return False
    return bool(came and "connected" in came)


class _Front:
    """A proxy before one server, with a certificate for 127.0.0.1."""

    def __init__(self, test: SynchronousTestCase, server: LiveServer) -> None:
        self.folder = Path(test.mktemp()).resolve()
        self.folder.mkdir()
        self.native_port, self.web_port = free_port(), free_port()
        self.certificate_file, self.key_file = self.folder / "chat.pem", self.folder / "chat.key"
        write_certificate(self.certificate_file, self.key_file)
        self.process = Process(name="front", folder=self.folder, outlives=False)
        test.addCleanup(self.process.kill)
        self.servers = {
            "core-1:7700": f"127.0.0.1:{server.tcp_port}",
            "core-1:7780": f"127.0.0.1:{server.http_port}",
            "business-1:7790": f"127.0.0.1:{server.http_port}",
        }

    def start(self, command: Sequence[str]) -> None:
        program = shutil.which(command[0], path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            if os.environ.get("CI"):
                raise AssertionError(f"{command[0]} is not installed; tools/servers does it")
            raise SkipTest(f"{command[0]} is not installed; tools/servers does it")
        self.process.start([program, *command[1:]])
        deadline_s = time.monotonic() + PATIENCE_S
        while not self._serves():
            if time.monotonic() > deadline_s or not self.process.running:
                raise AssertionError(self.process.log_file.read_text())
            time.sleep(0.1)

    def _serves(self) -> bool:
        """Whether it has found the server, too."""
        try:
            return self.status("/api/v1/users/me") in (401, 404, 405)
        except OSError:
            return False

    def status(self, path: str, **headers: str) -> int:
        """Of a GET from wherever this machine likes."""
        context = ssl.create_default_context(cafile=self.certificate_file)
        request = urllib.request.Request(f"https://127.0.0.1:{self.web_port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10, context=context) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def registers(self, source: str) -> int:
        """The status of a POST that makes an account, from one of this machine's addresses."""
        context = ssl.create_default_context(cafile=self.certificate_file)
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.web_port, timeout=PATIENCE_S, source_address=(source, 0), context=context
        )
        account = {
            "handle": f"u{secrets.token_hex(6)}",
            "password": secrets.token_hex(9),
            "deviceId": "phone",
        }
        headers = {"Content-Type": "application/json", "X-Forwarded-For": VICTIM}
        with closing(connection):
            connection.request("POST", "/api/v1/register", json.dumps(account), headers)
            return connection.getresponse().status


def haproxy(test: SynchronousTestCase, server: LiveServer) -> _Front:
    """HAProxy, started."""
    front = _Front(test, server)
    both = front.folder / "both.pem"
    both.write_bytes(front.certificate_file.read_bytes() + front.key_file.read_bytes())
    values = {
        **front.servers,
        "check port 7780": f"check port {server.http_port}",
        "bind :7701": f"bind 127.0.0.1:{front.native_port}",
        "bind :443": f"bind 127.0.0.1:{front.web_port}",
        "/etc/haproxy/chat.pem": str(both),
        "maxconn 100000": "maxconn 100",
    }
    (front.folder / "haproxy.cfg").write_text(filled("haproxy.cfg", values))
    front.start(["haproxy", "-db", "-f", str(front.folder / "haproxy.cfg")])
    return front


def nginx(test: SynchronousTestCase, server: LiveServer) -> _Front:
    """nginx, started; in one process, so that it dies with the test."""
    front = _Front(test, server)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"    {kind}_temp_path {front.folder}/{kind};\n" for kind in kinds)
    values = {
        **front.servers,
        "listen 7701": f"listen 127.0.0.1:{front.native_port}",
        "listen 443": f"listen 127.0.0.1:{front.web_port}",
        "/etc/nginx/chat.pem": str(front.certificate_file),
        "/etc/nginx/chat.key": str(front.key_file),
        "worker_rlimit_nofile 200000;\n": "",
        "worker_connections 50000": "worker_connections 100",
        "http {\n": "http {\n" + temporary,
    }
    (front.folder / "nginx.conf").write_text(filled("nginx.conf", values))
    directives = f"daemon off; master_process off; pid {front.folder}/nginx.pid; error_log stderr;"
    front.start(["nginx", "-p", str(front.folder), "-c", str(front.folder / "nginx.conf"), "-g", directives])
    return front


class _Behind:
    """What holds behind each of them; a subclass says which."""

    @staticmethod
    def front(test: SynchronousTestCase, server: LiveServer) -> _Front:
        """Start it."""
        raise NotImplementedError

    def opened(self: Any, **limits: float) -> None:
        """A server that trusts the proxy, and the proxy."""
        self.server, self.crowd = trusting_server(self, **limits)
        self.proxy: _Front = self.front(self, self.server)

    def native(self: Any, source: str) -> Wire:
        certificate_file = self.proxy.certificate_file
        return TcpWire("127.0.0.1", self.proxy.native_port, certificate_file=certificate_file, source=source)

    def web(self: Any, source: str, **headers: str) -> Wire:
        return WebSocketWire(
            f"wss://127.0.0.1:{self.proxy.web_port}/ws",
            subprotocol="im.v1.json",
            certificate_file=self.proxy.certificate_file,
            source=source,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )

    def test_talk(self: Any) -> None:
        """A native and a web client talk through it, over TLS; operators' paths and probes are not for outside."""
        self.opened()
        alice = Client(login_of(self.crowd, 0), lambda: self.native(ALICE))
        bob = Client(login_of(self.crowd, 1), lambda: self.web(BOB))
        conversation_id = direct_conversation_id(int(alice.login.user_id), int(bob.login.user_id))
        alice.connect()
        bob.connect()
        alice.send_text(bob.login.user_id, "hello")
        bob.run_until(lambda: bob.texts(conversation_id) == ["hello"], timeout_s=PATIENCE_S)
        bob.send_text(alice.login.user_id, "hi")
        alice.run_until(lambda: alice.texts(conversation_id) == ["hello", "hi"], timeout_s=PATIENCE_S)
        alice.close()
        bob.close()
        for path in ("/readyz", "/api/v1/operator/users", "/api/v1/settings", "/", "/wsx", *ENCODED):
            self.assertEqual(self.proxy.status(path), 404, path)
        for path in ROUNDABOUT:
            self.assertIn(self.proxy.status(path), (400, 404), path)
        self.assertEqual(
            self.proxy.status("/api/v1/users/a%20b%3A%C3%A9"), 401, "a name as it has to be written"
        )

    def test_addresses(self: Any) -> None:
        """Limits by address hold for the client's own, native and web together; nobody can say that they are another."""
        self.opened(**ONE_EACH)
        claims = {"X_Forwarded_For": VICTIM, "Forwarded": f"for={VICTIM}"}
        for source, first, second in (
            (ALICE, lambda: self.native(ALICE), lambda: self.web(ALICE)),
            (BOB, lambda: self.web(BOB), lambda: self.native(BOB)),
            (MALLORY, lambda: self.web(MALLORY, **claims), lambda: self.web(MALLORY, **claims)),
        ):
            self.assertTrue(enters(first, self.crowd), source)
            self.assertFalse(enters(second, self.crowd), source)
        self.assertTrue(enters(lambda: self.native(VICTIM), self.crowd), "nobody has used it up")
        statuses = [self.proxy.registers(source) for source in (ALICE, BOB, ALICE)]
        self.assertEqual(statuses, [201, 201, 429])


class Haproxy(_Behind, SynchronousTestCase):
    """deploy/haproxy.cfg."""

    front = staticmethod(haproxy)


class Nginx(_Behind, SynchronousTestCase):
    """deploy/nginx.conf."""

    front = staticmethod(nginx)


class Direct(SynchronousTestCase):
    """Those who reach the server's own ports."""

    def test_encoded(self) -> None:
        """No path is taken but in its plain form, in case that a proxy of another make compares it as it is written."""
        server, _ = trusting_server(self)
        for path in (*ENCODED, *(path for path in ROUNDABOUT if "%25" not in path)):
            with closing(
                http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=PATIENCE_S)
            ) as asked:
                asked.request("GET", path)
                answer = asked.getresponse()
                self.assertEqual(answer.status, 400, path)
                self.assertIn("canonical", json.load(answer)["error"]["message"])

    def test_spoofed(self) -> None:
        """They are where they are, whatever they write; a proxy that says nothing is told, and lets nobody in."""
        server, crowd = trusting_server(self, **ONE_EACH)

        def web() -> Wire:
            claim = {"X-Forwarded-For": VICTIM}
            return WebSocketWire(server.ws_url, subprotocol="im.v1.json", source=MALLORY, headers=claim)

        self.assertTrue(enters(web, crowd))
        self.assertFalse(enters(web, crowd))
        with socket.create_connection(("127.0.0.1", server.tcp_port), PATIENCE_S, (BOB, 0)) as reached:
            reached.sendall(f"PROXY TCP4 {VICTIM} 127.0.0.1 1 2\r\n".encode())
            self.assertTrue(reached.recv(100), "an Error about a frame that is none")
        self.assertEqual(ended_within(raw(server, b"\x05hello"), PATIENCE_S), b"")
        self.assertIn("127.0.0.1 is one of listen.trusted_proxies and began a connection without", server.log)
        native = partial(TcpWire, "127.0.0.1", server.tcp_port, source=VICTIM)
        self.assertTrue(enters(native, crowd), "nobody has used it up")
