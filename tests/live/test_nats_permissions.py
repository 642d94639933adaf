"""etc/nats.conf on a real nats-server: each role may say and hear what it needs, and nothing else."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.bus import subjects
from imd.bus.nats_streams import DEAD_LETTERS, STREAMS
from imd.ctl.cluster.engines import Nats
from imd.ctl.cluster.process import Process
from tests.live.engines import skipped_without_program

CONFIG = Path(__file__).resolve().parents[2] / "etc" / "nats.conf"

#: Who publishes what; every subject of the bus stands here once or more.
PUBLISHES: dict[str, list[str]] = {
    "core": [
        subjects.AUTH_TOKEN,
        subjects.AUTH_MEMBERS,
        subjects.AUTH_DIRECT,
        subjects.AUTH_CONVERSATIONS,
        subjects.AUTH_VISIBLE,
        subjects.AUTH_CHECK,
        subjects.AUTH_RESTRICTED,
        subjects.REVIEW_HOLD,
        subjects.REVIEW_STATE,
        subjects.message_append(7),
        subjects.message_settled(7),
        subjects.message_deliver(7),
        subjects.presence_query(7),
        subjects.session_kick(7),
        subjects.PRESENCE_STATUS,
        subjects.NODE_CHANGED,
        subjects.NODE_REPORT,
        subjects.ADMIN_MONITOR,
        subjects.NOTIFICATION_PUSH,
        subjects.AUDIT_LOG,
        subjects.MESSAGE_ACK,
        subjects.HOOK_MESSAGE,
    ],
    "business": [
        subjects.message_send(7),
        subjects.MESSAGE_HISTORY,
        subjects.MESSAGE_DECIDED,
        subjects.EXPLAIN_STORED,
        subjects.explain_node(7),
        subjects.presence_query(7),
        subjects.ADMIN_MONITOR,
        subjects.ADMIN_OPERATOR,
        subjects.AUTH_INVALIDATE,
        subjects.AUTH_UPDATE,
        subjects.NOTIFICATION_PUSH,
        subjects.AUDIT_LOG,
    ],
    "admin": [subjects.ADMIN_CONFIG, subjects.ADMIN_MONITOR, subjects.ADMIN_REVOKED, subjects.AUDIT_LOG],
}
HEARS: dict[str, list[str]] = {
    "core": [
        subjects.MESSAGE_SEND_ANY,
        subjects.MESSAGE_HISTORY,
        subjects.MESSAGE_DECIDED,
        subjects.message_append(7),
        subjects.message_settled(7),
        subjects.message_deliver(7),
        subjects.presence_query(7),
        subjects.session_kick(7),
        subjects.PRESENCE_STATUS,
        subjects.NODE_CHANGED,
        subjects.NODE_REPORT,
        subjects.MESSAGE_HISTORY,
        subjects.MESSAGE_DECIDED,
        subjects.EXPLAIN_STORED,
        subjects.explain_node(7),
    ],
    "business": [
        subjects.AUTH_CHECK,
        subjects.AUTH_RESTRICTED,
        subjects.REVIEW_HOLD,
        subjects.REVIEW_STATE,
        subjects.AUTH_TOKEN,
        subjects.AUTH_MEMBERS,
        subjects.AUTH_DIRECT,
        subjects.AUTH_CONVERSATIONS,
        subjects.AUTH_VISIBLE,
        subjects.AUTH_CHECK,
        subjects.AUTH_RESTRICTED,
        subjects.REVIEW_HOLD,
        subjects.REVIEW_STATE,
        subjects.PRESENCE_STATUS,
        subjects.NODE_REPORT,
        subjects.ADMIN_REVOKED,
    ],
    "admin": [subjects.NODE_REPORT, subjects.ADMIN_MONITOR, subjects.ADMIN_OPERATOR],
}
#: Threats B7 and B8 of a core node that was broken into.
FORBIDDEN = [
    "$JS.API.STREAM.DELETE.im-critical",
    "$JS.API.STREAM.PURGE.im-critical",
    "$JS.API.STREAM.UPDATE.im-critical",
    "$JS.API.STREAM.MSG.DELETE.im-critical",
    "$JS.API.STREAM.CREATE.other",
    "$JS.API.CONSUMER.DELETE.im-critical.business-1_im_auth_invalidate",
    "$JS.API.CONSUMER.CREATE.im-critical.spy.im.audit.log",
    "$JS.API.CONSUMER.CREATE.im-hooks.spy.im.hook.message",
    subjects.AUTH_INVALIDATE,
    subjects.AUTH_UPDATE,
    subjects.ADMIN_CONFIG,
    subjects.ADMIN_OPERATOR,
    subjects.ADMIN_REVOKED,
    subjects.message_send(7),
    subjects.MESSAGE_DECIDED,
    # The answer to somebody's question.
    "_INBOX.business.0123.1",
    "$SYS.REQ.SERVER.PING",
]
EARS = [">", "_INBOX.>", "_INBOX.business.>", "im.>", subjects.AUTH_MEMBERS, "$SYS.>", "$JS.>"]


class Spoken:
    """A client that says what it likes, and what the server answers; no library in between."""

    def __init__(self, address: tuple[str, int], user: str, password: str) -> None:
        self.socket = socket.create_connection(address, 5)
        self.socket.settimeout(5)
        self.lines = self.socket.makefile("rb")
        self.lines.readline()
        login = {"user": user, "pass": password, "verbose": False, "headers": True, "no_responders": True}
        self.socket.sendall(f"CONNECT {json.dumps(login)}\r\n".encode())

    def refusals(self, *commands: str) -> list[str]:
        """What the server refused of these; all it says until it has seen them."""
        self.socket.sendall("".join(f"{command}\r\n" for command in commands).encode() + b"PING\r\n")
        said: list[str] = []
        while (line := self.lines.readline()) != b"PONG\r\n":
            if not line:
                raise AssertionError(f"the server hung up: {said}")
            if line.startswith(b"-ERR"):
                said.append(line.decode())
        return said

    def next_message(self) -> bytes:
        """The subject line of the next message."""
        return self.lines.readline()

    def close(self) -> None:
        self.lines.close()
        self.socket.close()


class ShippedConfigTests(SynchronousTestCase):
    """The file as it is shipped; passwords, folder and port come from outside as it says."""

    def setUp(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="imd-nats-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        self.engine = Nats(folder=folder)
        with skipped_without_program():
            program = self.engine._program("nats-server")
        environ = {"IM_NATS_STORE_DIR": f'"{folder / "store"}"'}
        for role, password in self.engine.passwords.items():
            environ[f"IM_NATS_{role.upper()}_PASSWORD"] = f'"{password}"'
        process = Process(name="nats", folder=folder, outlives=False)
        self.addCleanup(process.kill)
        address = ["--addr", self.engine.host, "--port", str(self.engine.port)]
        process.start([program, "-c", str(CONFIG), *address], environ=environ)
        process.wait_until(self.engine._answers)

    def _client(self, role: str, password: str | None = None) -> Spoken:
        client = Spoken(
            (self.engine.host, self.engine.port),
            role,
            self.engine.passwords[role] if password is None else password,
        )
        self.addCleanup(client.close)
        return client

    def test_needed(self) -> None:
        """Each role publishes and hears its subjects, and makes the streams."""
        streams = [f"$JS.API.STREAM.CREATE.{stream.name}" for stream in (*STREAMS, DEAD_LETTERS)]
        for role, published in PUBLISHES.items():
            client = self._client(role)
            says = [f"PUB {subject} 0\r\n" for subject in (*published, *streams, "im.dead.core-1.im.a")]
            hears = [f"SUB {subject} im {sid}" for sid, subject in enumerate(HEARS[role], 1)]
            self.assertEqual(client.refusals(*says, *hears, f"SUB _INBOX.{role}.0123.* 99"), [], role)

    def test_every_subject_is_somebodys(self) -> None:
        """A subject that is added to the bus is added to the permissions, or nobody could publish it."""
        published = {subject for each in PUBLISHES.values() for subject in each}
        for name, subject in vars(subjects).items():
            if name.isupper() and isinstance(subject, str) and subject.startswith("im."):
                self.assertTrue(subject in published or "*" in subject, f"nobody publishes {subject}")
        for stream in STREAMS:
            for event in stream.events:
                self.assertIn(event.subject, published)

    def test_forbidden(self) -> None:
        """A core node that was broken into can neither forge nor destroy nor listen to the others."""
        core = self._client("core")
        for subject in FORBIDDEN:
            refused = core.refusals(f"PUB {subject} 0\r\n")
            self.assertEqual(len(refused), 1, subject)
            self.assertIn("Permissions Violation for Publish", refused[0])
        for sid, subject in enumerate(EARS):
            refused = core.refusals(f"SUB {subject} {sid}")
            self.assertEqual(len(refused), 1, subject)
            self.assertIn("Permissions Violation for Subscription", refused[0])

    def test_answers(self) -> None:
        """Who was asked may answer, once; nobody else may."""
        core, business = self._client("core"), self._client("business")
        business.refusals(f"SUB {subjects.AUTH_MEMBERS} im 1")
        core.refusals("SUB _INBOX.core.x.* 1")
        core.refusals(f"PUB {subjects.AUTH_MEMBERS} _INBOX.core.x.1 0\r\n")
        self.assertEqual(business.next_message().split()[0], b"MSG")
        business.lines.readline()
        self.assertEqual(business.refusals("PUB _INBOX.core.x.1 0\r\n"), [])
        self.assertEqual(len(business.refusals("PUB _INBOX.core.x.1 0\r\n")), 1)

    def test_strangers(self) -> None:
        """Without the right password there is nothing, and other roles can neither change streams."""
        for user, password in (("core", "wrong"), ("", ""), ("SYS", "")):
            stranger = Spoken((self.engine.host, self.engine.port), user, password)
            self.addCleanup(stranger.close)
            stranger.socket.sendall(b"PING\r\n")
            self.assertIn(b"Authorization Violation", stranger.lines.readline())
        for role in ("business", "admin"):
            refused = self._client(role).refusals(
                "PUB $JS.API.STREAM.DELETE.im-critical 0\r\n", "PUB $JS.API.STREAM.PURGE.im-critical 0\r\n"
            )
            self.assertEqual(len(refused), 2)
