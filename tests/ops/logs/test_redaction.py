"""What must not be in a log."""

from __future__ import annotations

from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from imd.ops.logs.lines import json_line, text_line
from imd.ops.logs.redaction import Redaction
from imd.ops.operators import TOKEN_PREFIX
from imd.pb.message_pb2 import SendMessageReq

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.c2lnbmF0dXJl"


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
