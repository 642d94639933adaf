"""What real processes say at their metrics ports: everything of the catalogue, and numbers that move."""

from __future__ import annotations

import json
import secrets
import socket
import time
import urllib.request
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parsed_open
from prometheus_client.parser import text_string_to_metric_families as parsed
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from imd.ctl.cluster.engine import free_port
from imd.ctl.cluster.node import Node
from imd.ops.metrics.catalogue import CATALOGUE
from imd.ops.metrics.model import ADMIN, BUSINESS, CORE, IM, Kind
from imd.pb.connection_pb2 import Heartbeat
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import STORED, TEXT, SendMessageReq
from imd.pb.presence_pb2 import PresenceSubscribeReq
from imd.pb.sync_pb2 import HistoryReq, SyncReq
from tests.live.cluster import new_cluster
from tests.live.lines import SocketLine
from tests.live.server import NO_LIMITS, LiveServer
from tests.ops.promql import promtool

#: Until what was asked for is counted; two cores are shared with other tests.
PATIENCE_S = 30.0
#: What a process has only where it is configured so.
WITH_TLS = {"imd_certificate_expiry_timestamp_seconds"}
WITH_HOOKS = {name for name in CATALOGUE if name.startswith(("imd_webhook_", "imd_content_hook_"))}
#: Conversations between two nodes; none of them is the other node's once in a thousand runs.
PEERS = 10
#: The most lines of a page, for a process with everything switched on.
MAX_LINES = 1_000

Samples = Mapping[tuple[str, str], float]


def scrape(url: str, accept: str = "text/plain") -> str:
    """One page."""
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        text: str = answer.read().decode()
    return text


def samples(url: str) -> Samples:
    """(name, value of its only label or all of them) to value; without buckets."""
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in parsed(scrape(url))
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


def register(http_url: str, handle: str) -> Any:
    """A new account, logged in."""
    body = {"handle": handle, "password": "correct horse battery", "deviceId": "phone"}
    request = urllib.request.Request(
        f"{http_url}/api/v1/register",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.loads(answer.read())


class PageCase(SynchronousTestCase):
    """Looks at pages."""

    def assert_complete(self, text: str, role: str, *, without: Collection[str] = ()) -> None:
        """The page has every metric of the role, under its type, and no other of ours; and it is not long."""
        found = {
            line.split()[2]: line.split()[3] for line in text.splitlines() if line.startswith("# TYPE imd_")
        }
        wanted = {
            name: metric.kind.value
            for name, metric in CATALOGUE.items()
            if role in metric.roles and name not in without
        }
        # What differs, and not all of both.
        self.assertEqual(dict(found.items() - wanted.items()), {})
        self.assertEqual(dict(wanted.items() - found.items()), {})
        self.assertIn("imd_metrics_failures_total 0.0\n", text)
        self.assertIn("\nprocess_resident_memory_bytes ", text)
        self.assertLess(text.count("\n"), MAX_LINES)

    def assert_labels(self, text: str) -> None:
        """Labels have the values of the catalogue, or few."""
        found: dict[tuple[str, str], set[str]] = {}
        for family in parsed(text):
            for sample in family.samples:
                for labelled, value in sample.labels.items():
                    found.setdefault((family.name, labelled), set()).add(value)
        for name, metric in CATALOGUE.items():
            family_name = name.removesuffix("_total") if metric.kind is Kind.COUNTER else name
            for label in metric.labels:
                values = found.get((family_name, label.name), set())
                if label.values:
                    self.assertLessEqual(values, set(label.values), name)
                self.assertLessEqual(len(values), label.cardinality, name)


class OneProcess(PageCase):
    """``twistd im``."""

    def setUp(self) -> None:
        secret = Path(self.mktemp()).absolute()
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_hex(32))
        nobody = f"http://127.0.0.1:{free_port()}/"
        self.server = LiveServer(
            settings={
                **NO_LIMITS,
                "content": {
                    "words": ["darn\trefuse"],
                    "hook_url": nobody,
                    "hook_secret_file": str(secret),
                    "hook_deadline_ms": 200,
                },
                "webhook": {"url": nobody, "secret_file": str(secret)},
            },
            tls=True,
        )
        self.addCleanup(self.server.close)
        self.server.start()

    def enter(self, handle: str) -> tuple[int, SocketLine]:
        login = register(self.server.http_url, handle)
        node: Any = SimpleNamespace(ports={"tcp": self.server.tcp_port})
        line = SocketLine(node, login["token"], device_id="phone")
        self.addCleanup(line.close)
        return int(login["userId"]), line

    def say(self, line: SocketLine, peer_id: int, client_msg_id: str, text: str) -> Envelope:
        request = SendMessageReq(peerUserId=peer_id, clientMsgId=client_msg_id, type=TEXT, textContent=text)
        answer = line.ask(Envelope(send=request))
        assert answer is not None
        return answer

    def until(self, happened: Callable[[Samples], bool], what: str) -> Samples:
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            now = samples(self.server.metrics_url)
            if happened(now):
                return now
            self.assertLess(time.monotonic(), deadline_s, what)
            time.sleep(0.3)

    def test_dialogue(self) -> None:
        """After a dialogue the page has all of the catalogue, in both formats, and what happened is counted."""
        before = samples(self.server.metrics_url)
        _, alice = self.enter("alice")
        bob_id, bob = self.enter("bob")
        first = self.say(alice, bob_id, "m1", "hello")
        self.assertEqual(first.ack.status, STORED)
        for number in range(2, 11):
            self.say(alice, bob_id, f"m{number}", "hello again")
        self.assertTrue(self.say(alice, bob_id, "m1", "hello").ack.duplicate)
        self.say(alice, bob_id, "m11", "darn")
        self.say(alice, bob_id, "m12", "")
        conversation_id = first.ack.conversationId
        alice.ask(Envelope(hb=Heartbeat()))
        alice.ask(Envelope(historyReq=HistoryReq(conversationId=conversation_id, fromSeq=1)))
        bob.ask(Envelope(syncReq=SyncReq()))
        bob.ask(Envelope(presenceSubscribeReq=PresenceSubscribeReq(userIds=[bob_id])))
        now = self.until(
            lambda now: now["imd_webhook_events_total", "failed"] > 0, "the webhook is never tried"
        )
        moved = {key: value - before.get(key, 0) for key, value in now.items() if value != before.get(key, 0)}
        for key, least in {
            ("imd_connections", "live"): 2,
            ("imd_connections_opened_total", ""): 2,
            ("imd_inbound_frames_total", "connect"): 2,
            ("imd_inbound_frames_total", "send"): 13,
            ("imd_inbound_bytes_total", "send"): 200,
            ("imd_inbound_frames_total", "hb"): 1,
            ("imd_heartbeats_total", ""): 1,
            ("imd_outbound_frames_total", "control"): 15,
            ("imd_outbound_frames_total", "normal"): 10,
            ("imd_outbound_bytes_total", ""): 500,
            ("imd_outbound_writes_total", ""): 10,
            ("imd_sends_total", "stored"): 10,
            ("imd_sends_total", "duplicate"): 1,
            ("imd_sends_total", "failed"): 1,
            ("imd_refusals_total", "1003"): 1,
            ("imd_refusals_total", "1007"): 1,
            ("imd_ack_seconds_count", ""): 2,
            ("imd_assign_seq_seconds_count", ""): 10,
            ("imd_batch_write_messages_sum", ""): 10,
            ("imd_write_seconds_count", ""): 10,
            ("imd_messages_stored_total", ""): 10,
            ("imd_messages_stored_bytes_total", ""): 300,
            ("imd_history_fetch_seconds_count", ""): 1,
            ("imd_sync_seconds_count", ""): 1,
            ("imd_fanout_messages_total", "push"): 10,
            ("imd_fanout_deliveries_total", ""): 10,
            ("imd_fanout_batch_messages_count", ""): 10,
            ("imd_fanout_seconds_count", ""): 10,
            ("imd_conversations_live", ""): 1,
            ("imd_auth_check_sends_total", "question"): 1,
            ("imd_auth_check_sends_total", "cache"): 9,
            ("imd_auth_check_questions_total", "answered"): 3,
            ("imd_auth_check_seconds_count", ""): 3,
            ("imd_auth_check_snapshots", ""): 1,
            ("imd_authority_questions_total", "token"): 2,
            ("imd_authority_seconds_count", ""): 3,
            ("imd_users_online", ""): 2,
            ("imd_presence_watchers", ""): 1,
            ("imd_content_verdicts_total", "refuse"): 1,
            ("imd_content_verdicts_total", "pass"): 10,
            ("imd_content_hook_failures_total", ""): 1,
            ("imd_sqlite_seconds_count", "write"): 10,
            ("imd_sqlite_seconds_count", "read"): 1,
            ("imd_sql_seconds_count", "write"): 2,
            ("imd_rest_requests_total", "2xx"): 2,
            ("imd_rest_seconds_count", ""): 2,
            ("imd_reactor_lag_seconds_count", ""): 5,
            ("imd_webhook_seconds_count", ""): 1,
        }.items():
            self.assertGreaterEqual(moved.get(key, 0), least, key)
        text = scrape(self.server.metrics_url)
        self.assert_complete(text, IM)
        self.assert_labels(text)
        self.assertEqual(promtool("check", "metrics", folder=self.server.folder, text=text), (0, ""))
        self.assertTrue(list(parsed_open(scrape(self.server.metrics_url, "application/openmetrics-text"))))

    def test_taken_port(self) -> None:
        """While another process has the port people chat, and the log says so; when it is free, it is opened."""
        self.server.stop()
        with socket.create_server(("127.0.0.1", self.server.metrics_port)):
            self.server.start()
            _, alice = self.enter("alice")
            bob_id, _ = self.enter("bob")
            self.assertEqual(self.say(alice, bob_id, "m1", "hello").ack.status, STORED)
            self.assertIn("metrics cannot be read", self.server.log)
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                now = samples(self.server.metrics_url)
                break
            except OSError:
                self.assertLess(time.monotonic(), deadline_s, "the port is never opened")
                time.sleep(0.3)
        self.assertEqual(now["imd_messages_stored_total", ""], 1)


class WholeCluster(PageCase, TestCase):
    """The roles by themselves."""

    timeout = 200

    async def test_every_role(self) -> None:
        """Each role has all that the catalogue says of it and nothing else, and what goes between nodes is counted."""
        await deferToThread(self._every_role)

    def _every_role(self) -> None:
        self.cluster = new_cluster(NO_LIMITS, cores=2, business=1, admins=1)
        self.addCleanup(self.cluster.kill)
        self._talk(*self.cluster.of_role("core"))
        for role, name in ((CORE, "core"), (BUSINESS, "business"), (ADMIN, "admin")):
            text = scrape(self.cluster.of_role(name)[0].metrics_url)
            self.assert_complete(text, role, without=WITH_TLS | WITH_HOOKS)
            self.assert_labels(text)
        cores = [samples(node.metrics_url) for node in self.cluster.of_role("core")]
        for core in cores:
            for name in ("imd_nats_connected", "imd_mongo_ready", "imd_redis_connected", "imd_ready"):
                self.assertEqual(core[name, ""], 1, name)
            self.assertEqual(core["imd_nodes_alive", ""], 2)
        self.assertEqual(sum(core["imd_shards_owned", ""] for core in cores), 256)
        business = samples(self.cluster.of_role("business")[0].metrics_url)
        self.assertGreaterEqual(business["imd_authority_questions_total", "direct"], PEERS)
        self.assertGreaterEqual(business["imd_nats_publish_seconds_count", ""], 1)
        for key, least in {
            ("imd_forwarded_sends_total", ""): 1,
            ("imd_sends_total", "stored"): PEERS,
            ("imd_messages_stored_total", ""): PEERS,
            ("imd_mongo_seconds_count", "write"): PEERS,
            ("imd_mongo_seconds_count", "administer"): 1,
            ("imd_redis_seconds_count", ""): 10,
            ("imd_route_lookups_total", "miss"): 1,
            ("imd_nats_request_seconds_count", ""): PEERS,
            ("imd_nats_messages_total", "sent"): PEERS,
            ("imd_nats_bytes_total", "received"): 1000,
            ("imd_auth_check_questions_total", "answered"): PEERS,
            ("imd_fanout_deliveries_total", ""): PEERS,
        }.items():
            self.assertGreaterEqual(sum(core[key] for core in cores), least, key)

    def _talk(self, here: Node, there: Node) -> None:
        """Somebody writes to people at the other node, in conversations of which about half are that node's."""
        _, writer = self._enter("writer", here)
        for number in range(PEERS):
            peer_id, reader = self._enter(f"reader{number}", there)
            request = SendMessageReq(peerUserId=peer_id, clientMsgId="m1", type=TEXT, textContent="hello")
            answer = writer.ask(Envelope(send=request))
            assert answer is not None
            self.assertEqual(answer.ack.status, STORED)
            answer = reader.ask(Envelope(syncReq=SyncReq()))
            assert answer is not None
            self.assertEqual(len(answer.syncResp.behind), 1)

    def _enter(self, handle: str, node: Node) -> tuple[int, SocketLine]:
        login = register(self.cluster.of_role("business")[0].http_url, handle)
        line = SocketLine(node, login["token"], device_id="phone")
        self.addCleanup(line.close)
        return int(login["userId"]), line
