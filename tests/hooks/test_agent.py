"""Where hooks go, and where they never do: over real HTTP in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from imd.config.hook_url import wrong_hook_address, wrong_hook_url
from imd.hooks.agent import GuardedEndpoint, hook_agent
from imd.hooks.post import Answer, PostFailed, SignedPosts

SECRET = b"0123456789abcdef0123456789abcdef"


class UrlTests(SynchronousTestCase):
    """What a URL's text tells already."""

    def test_good(self) -> None:
        """http and https, to names, and to addresses of one's own network as well."""
        for url in (
            "https://hooks.example.com/imd?key=1",
            "http://127.0.0.1:8080/",
            "http://10.0.0.1/x",
            "http://[::1]:80/",
        ):
            self.assertEqual(wrong_hook_url(url, allow_link_local=False), "", url)

    def test_bad(self) -> None:
        """Other schemes, no host, credentials, fragments, spaces, and bad ports."""
        for url in (
            "ftp://a/",
            "file:///etc/passwd",
            "https://",
            "//a/b",
            "https://user:password@a/",
            "https://a/#b",
            "https://a/b c",
            "https://a/\r\nX: y",
            "https://a:99999/",
            "https://a:0/",
            "https://ä/",
            "http://[::1/",
        ):
            self.assertNotEqual(wrong_hook_url(url, allow_link_local=True), "", url)

    def test_metadata(self) -> None:
        """Link-local addresses and clouds' metadata services, in every way of writing them, unless permitted."""
        for host in (
            "169.254.169.254",
            "169.254.0.1",
            "[fe80::1]",
            "[::ffff:169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:a9fe:a9fe::1]",
            "[fd00:ec2::254]",
            "100.100.100.200",
            "0.0.0.0",
            "224.0.0.1",
        ):
            self.assertNotEqual(wrong_hook_url(f"http://{host}/", allow_link_local=False), "", host)
        self.assertEqual(wrong_hook_url("http://169.254.169.254/", allow_link_local=True), "")
        self.assertNotEqual(wrong_hook_address("fe80::1%eth0"), "")
        self.assertEqual(wrong_hook_address("metadata.example.com"), "")


class AgentTests(SynchronousTestCase):
    """What is sent over a connection."""

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()

    def posts(self, url: str = "http://127.0.0.1:8080/hook", **options: Any) -> SignedPosts:
        return SignedPosts(
            agent=hook_agent(self.reactor, connections=2, allow_link_local=False),
            url=url,
            secret=SECRET,
            clock=self.reactor,
            wall_clock=lambda: 1_764_000_000_000,
            timeout_s=5.0,
            **options,
        )

    def post(self, answer: bytes, *, peer: str = "127.0.0.1") -> tuple[bytes, Deferred[Answer]]:
        """What was sent, and what comes of it."""
        result = Deferred.fromCoroutine(self.posts(max_answer_bytes=100).post(b"{}", {"X-Imd-Event": "e"}))
        factory = self.reactor.tcpClients[-1][2]
        protocol = factory.buildProtocol(IPv4Address("TCP", peer, 8080))
        if protocol is None:
            return b"", result
        transport = StringTransport(peerAddress=IPv4Address("TCP", peer, 8080))
        transport.abortConnection = transport.loseConnection  # type: ignore[method-assign]
        protocol.makeConnection(transport)
        protocol.dataReceived(answer)
        return transport.value(), result

    def test_exchange(self) -> None:
        """One signed POST, one answer."""
        sent, result = self.post(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        self.assertEqual(self.successResultOf(result), Answer(200, b"ok"))
        head, _, body = sent.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"POST /hook HTTP/1.1\r\n"))
        for name in (b"X-Imd-Timestamp: 1764000000", b"X-Imd-Signature: v1=", b"X-Imd-Event: e"):
            self.assertIn(name.lower(), head.lower())
        self.assertEqual(body, b"{}")

    def test_no_redirects(self) -> None:
        """A redirect is an answer like any other; nobody else is asked."""
        redirect = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
        _, result = self.post(redirect)
        self.assertEqual(self.successResultOf(result).status, 302)
        self.assertEqual(len(self.reactor.tcpClients), 1)

    def test_long_answer(self) -> None:
        """An answer over the limit is cut off."""
        _, result = self.post(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 500)
        self.assertIn("longer than", str(self.failureResultOf(result, PostFailed).value))

    def test_no_answer(self) -> None:
        """Silence ends at the time-out."""
        _, result = self.post(b"")
        self.reactor.advance(5.0)
        self.assertIn("no answer", str(self.failureResultOf(result, PostFailed).value))

    def test_name_leads_astray(self) -> None:
        """A name that leads to a metadata service is noticed when the connection is there, before a byte is sent."""
        reached: list[object] = []

        class Endpoint:
            """Connects to where the name has led."""

            def connect(self, factory: Any) -> Any:
                return factory.buildProtocol(IPv4Address("TCP", "169.254.169.254", 80))

        class Noting(Factory):
            """Would say something at once."""

            def buildProtocol(self, addr: Any) -> Protocol:
                reached.append(addr)
                return Protocol()

        endpoint: Any = Endpoint()
        self.assertRaises(PostFailed, GuardedEndpoint(endpoint).connect, Noting())
        self.assertEqual(reached, [])
