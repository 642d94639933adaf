"""Paths that have one meaning only."""

from __future__ import annotations

from urllib.parse import quote, unquote_to_bytes

from twisted.trial.unittest import SynchronousTestCase

from imd.wire.canonical_path import fault_of


class FaultTests(SynchronousTestCase):
    """What is wrong with a path."""

    def test_taken(self) -> None:
        """What the APIs have, with whatever ids and handles may need to be encoded."""
        for path in (
            b"/",
            b"/ws",
            b"/api/v1/users/bob.b-1_~",
            b"/api/v1/users/...",
            b"/api/v1/users/.bob",
            b"/api/v1/me/",
            b"/api/v1/groups/a%20b",
            b"/api/v1/groups/%24ne",
            b"/api/v1/users/%C3%A9%c3%a9",
            b"/api/v1/users/%2573",
            b"/api/v1/users/a:b@c;d=e,f",
            b"/api/v1/users/a%3Ab%40c",
        ):
            self.assertEqual(fault_of(path), "", path)

    def test_every_name(self) -> None:
        """Any character in a name, written as clients write it, but for a slash and control characters."""
        for name in [chr(code) for code in range(0x20, 0x180)] + ["马", "\N{GRINNING FACE}"]:
            fault = fault_of(f"/api/v1/users/x{quote(name, safe='')}".encode())
            self.assertEqual(bool(fault), name in "/\\\x7f", f"{name!r}: {fault}")

    def test_refused(self) -> None:
        """What another reader may take for another path, and why."""
        for path, part in (
            (b"", "begin with a slash"),
            (b"*", "begin with a slash"),
            (b"http://h/api", "begin with a slash"),
            (b"Xapi/v1/settings", "begin with a slash"),
            (b"/api/v1/%73ettings", "%73, which has to be written s"),
            (b"/%61pi", "%61, which"),
            (b"/api/%7e", "%7e, which"),
            (b"/api%2fv1", "%2f, and nothing"),
            (b"/api%5Cv1", "%5C, and nothing"),
            (b"/api/%00", "%00, and nothing"),
            (b"/api/%0A", "%0A, and nothing"),
            (b"/api/%7F", "%7F, and nothing"),
            (b"/api/%2e%2e/x", "%2e, which"),
            (b"/api/%", "hexadecimal"),
            (b"/api/%7", "hexadecimal"),
            (b"/api/%zz", "hexadecimal"),
            (b"/api/%%37%33", "hexadecimal"),
            (b"/api/%\n7", "must be percent-encoded"),
            (b"//api", "double slash"),
            (b"/api//", "double slash"),
            (b"//", "double slash"),
            (b"/api/../x", ". or .."),
            (b"/api/.", ". or .."),
            (b"/..", ". or .."),
            (b"/api\\v1", "must be percent-encoded"),
            (b"/api#x", "must be percent-encoded"),
            (b"/api/\xc3\xa9", "must be percent-encoded"),
            (b"/api/\x00", "must be percent-encoded"),
            (b'/api/"', "must be percent-encoded"),
        ):
            self.assertIn(part, fault_of(path), path)

    def test_one_spelling(self) -> None:
        """Of all ways to write a path of which one byte is encoded, the plain one alone is taken."""
        plain = b"/api/v1/settings"
        for at in range(len(plain)):
            encoded = plain[:at] + b"%%%02x" % plain[at] + plain[at + 1 :]
            self.assertEqual(unquote_to_bytes(encoded), plain)
            self.assertNotEqual(fault_of(encoded), "", encoded)
