"""Tokens: what we made, for this purpose, in its time, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.business.accounts.tokens import LEEWAY_S, MAX_TOKEN_BYTES, Tokens
from imd.kernel.errors import AuthFailed
from tests.business.world import SECRET, START_MS

NOW_S = START_MS // 1000


def encode(part: object) -> bytes:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def forge(header: object, claims: object, *, secret: bytes = SECRET, digest: Any = hashlib.sha256) -> str:
    """A token with any header and claims, signed with HMAC."""
    head = encode(header) + b"." + encode(claims)
    return (head + b"." + encode(hmac.new(secret, head, digest).digest())).decode()


GOOD_HEADER = {"alg": "HS256", "typ": "JWT"}
GOOD_CLAIMS: dict[str, Any] = {
    "iss": "imd", "aud": "access", "typ": "access", "sub": "42", "deviceId": "phone", "iat": NOW_S,
    "exp": NOW_S + 3600, "scopes": ["message:send"], "nonce": "n", "ver": "1.0", "lid": "login", "tv": 1,
}  # fmt: skip


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD_CLAIMS.items() if key != name}


class Checking(SynchronousTestCase):
    """What ``Tokens.check`` lets pass."""

    def setUp(self) -> None:
        self.now_ms = START_MS
        self.tokens = Tokens(secret=lambda: SECRET, kind="access", wall_clock=lambda: self.now_ms)

    def make(self, tokens: Tokens | None = None, *, ttl_s: int = 3600) -> str:
        return (tokens or self.tokens).make(
            user_id=42,
            device_id="phone",
            scopes=("message:send",),
            expires_at_s=NOW_S + ttl_s,
            login_id="login",
            token_version=3,
        )

    def refuse(self, token: str, why: str = "") -> None:
        with self.assertRaises(AuthFailed, msg=why) as caught:
            self.tokens.check(token)
        self.assertNotIn(token[-20:] or "-", caught.exception.message)

    def test_round_trip(self) -> None:
        """What was put in comes out."""
        claims = self.tokens.check(self.make())
        self.assertEqual(claims, (42, "phone", ("message:send",), NOW_S, NOW_S + 3600, "login", 3))

    def test_forgery_works_at_all(self) -> None:
        """The forger below differs from us only in what each test says."""
        self.assertEqual(self.tokens.check(forge(GOOD_HEADER, GOOD_CLAIMS)).user_id, 42)

    def test_other_headers(self) -> None:
        """No algorithm, another one, or a header that points anywhere: refused, whatever the signature."""
        headers: tuple[Any, ...] = (
            {"alg": "none", "typ": "JWT"}, {"alg": "None", "typ": "JWT"}, {"alg": "", "typ": "JWT"},
            {"typ": "JWT"}, {"alg": "RS256", "typ": "JWT"}, {"alg": "hs256", "typ": "JWT"},
            {"alg": ["HS256"], "typ": "JWT"}, {"alg": "HS256"}, {"alg": "HS256", "typ": "at+jwt"},
            {**GOOD_HEADER, "kid": "1"}, {**GOOD_HEADER, "kid": "../../dev/null"},
            {**GOOD_HEADER, "jku": "https://evil.example/keys"}, {**GOOD_HEADER, "x5u": "https://evil.example"},
            {**GOOD_HEADER, "jwk": {"kty": "oct", "k": "AA"}}, {**GOOD_HEADER, "crit": ["exp"]},
            {**GOOD_HEADER, "crit": ["exp"], "exp": 1}, {**GOOD_HEADER, "b64": False, "crit": ["b64"]},
            [], "x", 7, None,
        )  # fmt: skip
        for header in headers:
            self.refuse(forge(header, GOOD_CLAIMS), str(header))
            unsigned = encode(header) + b"." + encode(GOOD_CLAIMS) + b"."
            self.refuse(unsigned.decode(), str(header))

    def test_other_hashes(self) -> None:
        """HS384 and HS512 with our own secret are not ours."""
        for name, digest in (("HS384", hashlib.sha384), ("HS512", hashlib.sha512)):
            self.refuse(forge({"alg": name, "typ": "JWT"}, GOOD_CLAIMS, digest=digest))

    def test_other_secrets(self) -> None:
        """Signed with nothing, or anything else: refused."""
        for secret in (b"", b"secret", SECRET + b"x", SECRET[:-1]):
            self.refuse(forge(GOOD_HEADER, GOOD_CLAIMS, secret=secret))

    def test_missing_claims(self) -> None:
        """Each claim is needed."""
        for name in GOOD_CLAIMS:
            self.refuse(forge(GOOD_HEADER, without(name)), name)

    def test_wrong_claims(self) -> None:
        """A claim of the wrong kind, type or range is refused, although it is signed."""
        wrong: dict[str, list[Any]] = {
            "iss": ["other", 1, None], "aud": ["refresh", "admin", ["access"], "", None], "typ": ["refresh", None],
            "sub": [42, "0", "-1", "x", "", "٤٢", str(1 << 63), "9" * 5000, ["42"], None],
            "deviceId": ["", "a/b", 1, "x" * 65, None], "iat": ["1", None, 1.5, NOW_S + LEEWAY_S + 1],
            "exp": [str(NOW_S + 60), None, True, NOW_S - LEEWAY_S], "scopes": ["message:send", [1], None],
            "ver": ["2.0", 1.0, None], "lid": ["", "a b", 7], "tv": ["1", None, 1.0],
        }  # fmt: skip
        for name, values in wrong.items():
            for value in values:
                self.refuse(forge(GOOD_HEADER, {**GOOD_CLAIMS, name: value}), f"{name}={value!r}")

    def test_kinds(self) -> None:
        """Tokens of one kind are worth nothing as another: each of four at each of four."""
        kinds = ("access", "refresh", "admin", "internal")
        of = {
            kind: Tokens(secret=lambda: SECRET, kind=kind, wall_clock=lambda: self.now_ms) for kind in kinds
        }
        for made in kinds:
            for asked in kinds:
                token = self.make(of[made])
                if made == asked:
                    self.assertEqual(of[asked].check(token).user_id, 42)
                else:
                    self.assertRaises(AuthFailed, of[asked].check, token)

    def test_tampered(self) -> None:
        """Change any one character and it is refused."""
        token = self.make()
        for index in range(0, len(token) - 1, 3):
            # The last character of a part may hold spare bits; Z for A always changes a used one.
            other = "A" if token[index] != "A" else "Z"
            self.refuse(token[:index] + other + token[index + 1 :], f"at {index}")

    def test_garbage(self) -> None:
        """What is no token is refused with the same error."""
        for token in (
            "",
            ".",
            "..",
            "...",
            "a.b.c",
            "a" * 100,
            "\x00",
            "é.é.é",
            "{}.{}.{}",
            self.make() + ".x",
        ):
            self.refuse(token, repr(token))

    def test_too_long(self) -> None:
        """8 KiB are refused unread, even when rightly signed."""
        long = forge(GOOD_HEADER, {**GOOD_CLAIMS, "pad": "x" * 8192})
        self.assertGreater(len(long), MAX_TOKEN_BYTES)
        self.refuse(long)

    def test_expiry(self) -> None:
        """A token is good until its end and 30 seconds more, and not a second longer."""
        token = self.make(ttl_s=60)
        self.now_ms = START_MS + (60 + LEEWAY_S) * 1000 - 1
        self.tokens.check(token)
        self.now_ms += 1
        self.refuse(token)

    def test_clock_ahead(self) -> None:
        """A token made a little in our future is good: another node's clock may be ahead."""
        token = self.make()
        self.now_ms = START_MS - LEEWAY_S * 1000
        self.tokens.check(token)
        self.now_ms -= 1000
        self.refuse(token)

    def test_nonce(self) -> None:
        """Two tokens made in the same second differ."""
        self.assertNotEqual(self.make(), self.make())

    def test_no_secret_in_repr(self) -> None:
        """The object does not show its key."""
        self.assertNotIn("canary", repr(self.tokens))
