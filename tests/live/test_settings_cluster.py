"""`imctl settings` on a running cluster: what was changed holds at every node, and what breaks in between breaks nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from itertools import count
from statistics import median
from typing import Any, ClassVar, NamedTuple

from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.cluster.cluster import Cluster
from imd.ctl.cluster.node import ROOT, Node
from imd.kernel.errors import Code
from imd.kernel.ids import direct_conversation_id
from imd.ops.operators import REMEMBER_S
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import FAILED, TEXT, SendMessageReq
from tests.dialogue.town import Town
from tests.live.cluster import new_cluster, town_of
from tests.live.lines import SocketLine
from tests.live.server import NO_LIMITS

#: From the publishing to the last node's word that it runs the version.
WITHIN_MS = 500
#: And never longer, however busy the machine is: well below the time after which the bus tells again who did not hear.
AT_MOST_MS = 10_000
ROUNDS = 3
#: For what is sure to happen; two cores are shared with other tests.
PATIENCE_S = 60.0
_POLL_S = 0.1
#: One message, and then none for a minute.
TIGHT = ("limits.user_text_per_min=1", "limits.user_burst=1")

_names = count()


class Said(NamedTuple):
    """What imctl said."""

    code: int
    out: str
    err: str


class Person(NamedTuple):
    """Somebody who is logged in."""

    user_id: int
    token: str


class SettingsOfACluster(SynchronousTestCase):
    """Two im-core, two im-business, an im-admin; and two people, each connected to a core of their own."""

    _log = Logger()
    _shared: ClassVar[list[tuple[Cluster, Town]]] = []

    def setUp(self) -> None:
        if not self._shared:
            cluster = new_cluster(NO_LIMITS)
            self._shared.append((cluster, town_of(cluster)))
        self.cluster, self.town = self._shared[0]
        self.cluster.up()
        self.people = [self.person(), self.person()]
        # Of a node that is heard of for the first time nobody knows how long it took.
        self.until(self.all_report, "all nodes report")
        self.direct = direct_conversation_id(self.people[0].user_id, self.people[1].user_id)
        body = {"userId": str(self.people[1].user_id)}
        self.rest("business", "/conversations/direct", self.people[0].token, body)
        if self.rest("admin", "/settings")["settings"]:
            self.imctl("settings", "rollback", "0")

    def person(self) -> Person:
        one = self.town.next()
        return Person(one.account.user_id, self.town.token(one, "phone"))

    @property
    def cores(self) -> list[Node]:
        return self.cluster.of_role("core")

    def rest(self, role: str, path: str, token: str = "", body: Any = None) -> Any:
        """What the first node of a role answers."""
        token = token or self.cluster.configuration.operator_token_file.read_text().strip()
        request = urllib.request.Request(
            f"{self.cluster.of_role(role)[0].http_url}/api/v1{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.loads(answer.read())

    def imctl(self, *arguments: str, code: int = 0) -> Said:
        """What an operator types."""
        ended = subprocess.run(
            [sys.executable, "-c", "from imd.ctl.cli import main; main()", *arguments],
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "IMCTL_ADMIN_SERVER": self.cluster.of_role("admin")[0].http_url,
                "IMCTL_TOKEN_FILE": str(self.cluster.configuration.operator_token_file),
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        said = Said(ended.returncode, ended.stdout, ended.stderr)
        self.assertEqual(said.code, code, said)
        return said

    def taken(self, number: int) -> list[bool]:
        """Of three messages that a person sends at once at their node, which ones are taken."""
        line = self.line(number)
        try:
            return [self.sends(line) for _ in range(3)]
        finally:
            line.close()

    def line(self, number: int) -> SocketLine:
        """Somebody at their node, which may ask them to come again just after its bus was away."""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            line = SocketLine(self.cores[number], self.people[number].token, device_id="phone")
            if line.refused is None:
                return line
            line.close()
            self.assertTrue(line.refused.error.retryable, line.refused)
            self.assertLess(time.monotonic(), deadline_s, line.refused)
            time.sleep(_POLL_S)

    def sends(self, line: SocketLine) -> bool:
        request = SendMessageReq(
            conversationId=self.direct, clientMsgId=f"s{next(_names)}", type=TEXT, textContent="x"
        )
        answer = line.ask(Envelope(send=request))
        assert answer is not None
        if answer.ack.status == FAILED:
            self.assertEqual(answer.ack.error.code, Code.RATE_LIMITED, answer)
            return False
        return True

    def assert_bites(self, *, at: list[bool]) -> None:
        """At which nodes the tight limit holds."""
        for number, bites in enumerate(at):
            taken = self.taken(number)
            self.assertEqual(taken[1:], [not bites] * 2, f"core {number + 1}: {taken}")

    def until(self, happened: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not happened():
            self.assertLess(time.monotonic(), deadline_s, f"it never came to be: {what}")
            time.sleep(_POLL_S)

    def all_report(self) -> bool:
        board = self.rest("admin", "/settings/nodes")
        return bool(board["isComplete"]) and len(board["nodes"]) == 5

    def nodes(self) -> dict[str, dict[str, Any]]:
        return {each["node"]: each for each in self.rest("admin", "/settings/nodes")["nodes"]}

    def slowest_ms(self) -> int:
        """Of the nodes that run the current version; all do."""
        nodes = self.nodes()
        self.assertEqual(len(nodes), 5, list(nodes))
        self.assertTrue(all(node["isCurrent"] for node in nodes.values()), nodes)
        return max(int(node["tookMs"]) for node in nodes.values())

    def test_limit(self) -> None:
        """A limit bites on every node within 500 ms, with the next message, and is gone as soon after a roll back."""
        took_ms = []
        for _ in range(ROUNDS):
            self.assert_bites(at=[False, False])
            said = self.imctl("settings", "set", *TIGHT, "-m", "tight")
            self.assertIn("runs on 5 of 5 nodes", said.out)
            took_ms.append(self.slowest_ms())
            self.assert_bites(at=[True, True])
            self.imctl("settings", "rollback", "-m", "that was too tight")
            took_ms.append(self.slowest_ms())
        self.assert_bites(at=[False, False])
        self._log.info("all nodes run a version after {took_ms} ms", took_ms=took_ms)
        # The middle one: two cores are shared with other tests.
        self.assertLess(median(took_ms), WITHIN_MS, took_ms)
        self.assertLess(max(took_ms), AT_MOST_MS, took_ms)
        history = self.imctl("settings", "history", "-n", "2").out
        self.assertIn("rolled back by bootstrap", history)
        self.assertIn("that was too tight", history)

    def test_gray(self) -> None:
        """A gray release bites for whom it is meant, wherever they are, and for all once it is promoted."""
        user_id = str(self.people[0].user_id)
        said = self.imctl("settings", "gray", "release", *TIGHT, "--user", user_id)
        self.assertIn("1 named user", said.out)
        self.assert_bites(at=[True, False])
        self.imctl("settings", "gray", "withdraw")
        self.assert_bites(at=[False, False])
        self.imctl("settings", "gray", "release", *TIGHT, "--percent", "100", "--client-version", "never")
        self.assert_bites(at=[False, False])
        self.imctl("settings", "gray", "promote")
        self.assert_bites(at=[True, True])

    def test_operators(self) -> None:
        """An operator's own token is good at im-business, too, for what the role allows, and until it is revoked; the
        audit knows who it was."""
        token_file = self.cluster.folder / "auditor.token"
        self.imctl("operators", "add", "auditor", "--role", "auditor", "--out", str(token_file))
        token = token_file.read_text().strip()
        refused = self.imctl("settings", "set", *TIGHT, "--token-file", str(token_file), code=2)
        self.assertIn("takes one of: admin, operator", refused.err)

        def is_audited() -> bool:
            events = self.rest("business", "/operator/audit", token)["events"]
            return {"operators.add", "settings.change"} <= {event["action"] for event in events}

        self.until(is_audited, "the acts are in the audit")
        self.imctl("operators", "revoke", "auditor")
        # It has just been told whose the token is, and would remember that for longer than this.
        time.sleep(REMEMBER_S / 4)
        with self.assertRaises(urllib.error.HTTPError) as refused_at_business:
            self.rest("business", "/operator/audit", token)
        self.assertEqual(refused_at_business.exception.code, 401)
        self.imctl("settings", "get", "--token-file", str(token_file), code=2)
        token_file.unlink()

    def test_nats_away(self) -> None:
        """While NATS is away a change is kept and no node has it, and the operator is told; though im-admin is killed,
        it is published by its next start."""
        (admin,) = self.cluster.of_role("admin")
        self.cluster.nats.kill()
        said = self.imctl("settings", "set", *TIGHT, code=1)
        self.assertIn("no node runs it yet", said.out)
        admin.kill()
        self.cluster.nats.start()
        for node in (*self.cores, *self.cluster.of_role("business")):
            node.wait_ready()
        self.assert_bites(at=[False, False])
        admin.start()
        self.until(
            lambda: all(not self.taken(number)[2] for number in (0, 1)), "the limit bites at both nodes"
        )
        self.until(self.all_report, "all nodes report")
        self.assertTrue(all(node["isCurrent"] for node in self.nodes().values()))

    def test_kept(self) -> None:
        """A node that starts while im-admin is away and NATS has lost all it knew goes on by what it ran last."""
        self.imctl("settings", "set", *TIGHT)
        (admin,) = self.cluster.of_role("admin")
        admin.kill()
        for node in self.cores:
            node.kill()
        self.cluster.nats.kill()
        shutil.rmtree(self.cluster.nats.folder / "jetstream")
        self.cluster.nats.start()
        for node in self.cores:
            node.start()
        self.assert_bites(at=[True, True])
        admin.start()
        self.until(self.all_report, "all nodes report")
        self.imctl("settings", "rollback", "0")
        self.assert_bites(at=[False, False])
