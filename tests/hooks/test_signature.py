"""Signatures of what is POSTed."""

from __future__ import annotations

from hashlib import sha256
from hmac import new

from twisted.trial.unittest import SynchronousTestCase

from imd.hooks.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, is_signed, signed_headers

SECRET = b"0123456789abcdef0123456789abcdef"
BODY = b'{"a":1}'


class SignatureTests(SynchronousTestCase):
    """HMAC-SHA256 over timestamp, dot, body."""

    def test_form(self) -> None:
        """The headers are those of the documentation."""
        expected = new(SECRET, b"1764000000." + BODY, sha256).hexdigest()
        self.assertEqual(
            signed_headers(SECRET, 1764000000, BODY),
            {TIMESTAMP_HEADER: "1764000000", SIGNATURE_HEADER: f"v1={expected}"},
        )

    def test_checked(self) -> None:
        """Another body, time, secret or scheme is not signed by this."""
        given = signed_headers(SECRET, 5, BODY)[SIGNATURE_HEADER]
        self.assertTrue(is_signed(SECRET, "5", given, BODY))
        for secret, time, signature, body in (
            (SECRET, "5", given, BODY + b" "),
            (SECRET, "6", given, BODY),
            (SECRET[::-1], "5", given, BODY),
            (SECRET, "5", given.replace("v1", "v2"), BODY),
            (SECRET, "5", "", BODY),
            (SECRET, "", given, BODY),
            (SECRET, "5" * 30, given, BODY),
            (SECRET, "\u0665", given, BODY),
        ):
            self.assertFalse(is_signed(secret, time, signature, body))
