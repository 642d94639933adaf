"""Addresses to listen on."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.config.address import Address, parse_address, parse_host


class Addresses(SynchronousTestCase):
    """``parse_address``."""

    def test_good(self) -> None:
        """IPv4, IPv6 in brackets, localhost; they print as they are written."""
        for text, host, port, public in (
            ("127.0.0.1:7700", "127.0.0.1", 7700, False),
            ("127.8.0.1:0", "127.8.0.1", 0, False),
            ("0.0.0.0:65535", "0.0.0.0", 65535, True),
            ("[::1]:1", "::1", 1, False),
            ("[::]:80", "::", 80, True),
            ("192.0.2.1:80", "192.0.2.1", 80, True),
        ):
            address = parse_address(text)
            self.assertEqual((address, address.is_public, str(address)), ((host, port), public, text))
        self.assertEqual(parse_address("localhost:1"), Address("127.0.0.1", 1))

    def test_bad(self) -> None:
        """What is wrong is said."""
        for text, words in (
            ("", "no port"),
            ("7700", "no port"),
            (":7700", "no address"),
            ("::1:80", "brackets"),
            ("[::1]", "IPv6|port"),
            ("example.com:80", "not an IP address"),
            ("127.0.0.1:", "port"),
            ("127.0.0.1:-1", "port"),
            ("127.0.0.1:65536", "port"),
            ("127.0.0.1:\u0661", "port"),
        ):
            self.assertRegex(str(self.assertRaises(ValueError, parse_address, text)), words)

    def test_host(self) -> None:
        """What we connect to may have a name."""
        for text, host, port in (
            ("127.0.0.1:4222", "127.0.0.1", 4222),
            ("[::1]:1", "::1", 1),
            ("db-1.example.com:3306", "db-1.example.com", 3306),
            ("mongo_1:27017", "mongo_1", 27017),
        ):
            self.assertEqual(parse_host(text), (host, port))

    def test_bad_host(self) -> None:
        """What is wrong is said."""
        for text, words in (
            ("", "no port"),
            ("host", "no port"),
            (":1", "no host"),
            ("a b:1", "could be one"),
            ("user@a:1", "could be one"),
            ("-a:1", "could be one"),
            ("a..b:1", "could be one"),
            ("::1:1", "could be one"),
            ("[a]:1", "IPv6"),
            ("a:0", "1 to 65535"),
            ("a:65536", "1 to 65535"),
            ("a:", "1 to 65535"),
        ):
            self.assertRegex(str(self.assertRaises(ValueError, parse_host, text)), words)
