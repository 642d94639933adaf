"""What must not be in a log."""

from __future__ import annotations

import time

from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from imd.ops.logs.lines import json_line, text_line
from imd.ops.logs.redaction import Redaction
from imd.ops.operators import TOKEN_PREFIX
from imd.pb.message_pb2 import SendMessageReq

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.c2lnbmF0dXJl"


def seconds_for(text: str) -> float:
    """Of this process, to look through it."""
    redact, begun_s = Redaction().text, time.process_time()
    redact(text)
    return time.process_time() - begun_s


class Hidden(SynchronousTestCase):
    """``Redaction.text``."""

    def test_by_looks(self) -> None:
        """Tokens, hashes and passwords are hidden in messages, fields and tracebacks of both forms."""
        for text, secret in (
            (f"token {JWT} refused", "c2lnbmF0dXJl"),
            ("Authorization: Bearer abc.def", "abc.def"),
            ("stored $argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA", "aGFzaA"),
            ("GET /ws?token=abcdef&x=1", "abcdef"),
            ("Password=hunter2", "hunter2"),
            ("password: hunter2", "hunter2"),
            ('{"password": "hunter2"}', "hunter2"),
            ("{'refresh_token': 'abcdef'}", "abcdef"),
            (repr('{"webhookSecret":"abcdef"}'), "abcdef"),
            ("Login(user='x', password='hunter2', tls=True)", "hunter2"),
            ("connecting to nats://im:hunter2@host:4222", "hunter2"),
            (f"somebody said {TOKEN_PREFIX}{'0a' * 32} aloud", "0a0a"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn\n", "b3Blbn"),
        ):
            said = {
                "log_format": "{text}",
                "text": text,
                "peer": text,
                "log_failure": Failure(ValueError(text)),
            }
            for form in (text_line, json_line):
                line = form(said, Redaction().text)
                self.assertNotIn(secret, line)
                self.assertIn("[hidden]", line)

    def test_time(self) -> None:
        """Whatever a peer writes, ten times as much of it takes some ten times as long, not a hundred times."""
        for piece in (
            "a",
            "a.",
            "token",
            "eyJ",
            "a://x:",
            "a://",
            "://:y",
            "password: ",
            "-----BEGIN ",
            "Bearer ",
        ):
            for end in ("", "@", "="):
                short, long = (f"{piece * (size // len(piece))}{end}" for size in (16_000, 160_000))
                # The least of some is what it takes where nobody else is on the machine.
                took_s = min(seconds_for(short) for _ in range(5))
                # What it takes to begin counts, too, where it takes next to nothing.
                self.assertLess(seconds_for(long), 40 * took_s + 0.05, piece)

    def test_cut(self) -> None:
        """Only what is kept of a long text is looked through, and what the cut goes through is dropped."""
        seen: list[int] = []

        def redact(text: str) -> str:
            seen.append(len(text))
            return Redaction(["known-secret-of-the-file"]).text(text)

        for place in range(16_300, 16_500, 7):
            text = f"{'=' * place}known-secret-of-the-file{'=' * 1_000_000}"
            line = text_line({"log_format": "{text}", "text": text}, redact)
            self.assertNotIn("known-", line)
            self.assertIn("more characters", line)
            self.assertLess(len(line), 17_000)
        # Others that were hidden before it do not move it to where it is kept.
        for place in range(20_440, 20_480, 3):
            hidden = f"token={'x' * 8_000} "
            text = f"{hidden}{'=' * (place - len(hidden))}known-secret-of-the-file{'=' * 9_000}"
            self.assertNotIn("known-", text_line({"log_format": "{text}", "text": text}, redact))
        self.assertLess(max(seen), 32_000)

    def test_names_of_files(self) -> None:
        """Where a secret lies is no secret, and it stays visible what stood beside one."""
        redact = Redaction().text
        for text in (
            "made the operators' token: data/secrets/operator.token",
            "token_file=/etc/x",
            "tokens: 7",
        ):
            self.assertEqual(redact(text), text)
        self.assertEqual(redact("POST /x?token=abcdef&page=2"), "POST /x?token=[hidden]&page=2")
        self.assertEqual(redact("nats://im:hunter2@host:4222"), "nats://im:[hidden]@host:4222")

    def test_known(self) -> None:
        """The configuration's own secrets are hidden in whatever words they stand; short ones are no secrets."""
        redaction = Redaction(["correct horse", "correct horse battery", "a"])
        self.assertEqual(redaction.text("so correct horse battery it is, as"), "so [hidden] it is, as")
        self.assertNotIn("horse", repr(redaction))
        redaction.know(["another one"])
        self.assertEqual(redaction.text("correct horse, another one"), "correct horse, [hidden]")

    def test_bodies(self) -> None:
        """Of messages and bytes only the size is told, however somebody means to print them."""
        request = SendMessageReq(textContent="for her alone")
        said = {
            "log_format": "{a} {b!r} {c}",
            "a": request,
            "b": b"for her alone",
            "c": bytearray(b"for her"),
        }
        line = text_line(said, Redaction().text)
        self.assertNotIn("her", line)
        self.assertIn("SendMessageReq, ", line)
        self.assertIn("<13 bytes>", line)
