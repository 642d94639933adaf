"""People who talk while im-business is slow or gone, and what they, the audit and the database say of it.

A conversation of each kind between the same two, on different nodes; settings under which snapshots live for a
moment and the breaker rests for a second; who wrote what, what was answered, and how long that took.
"""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any, NamedTuple

from sqlalchemy import Engine, select, update

from imd.business.tables.groups import group_conversations, group_members
from imd.business.tables.people import direct_conversations
from imd.business.tables.policy import audit_events
from imd.client.load.crowd import ConversationWish
from imd.ctl.cluster.cluster import Cluster
from imd.ctl.cluster.node import Node
from imd.kernel.clocks import system_wall_clock
from imd.kernel.ids import direct_conversation_id
from imd.roles.seed import ConversationRows
from imd.storage.sql import insert_ignore
from imd.storage.sql_mysql import MysqlServer, open_mysql
from tests.dialogue.town import Inhabitant, Town
from tests.live.standalone_wire import TcpWire

#: Snapshots are believed for so long.
SNAPSHOT_S = 0.3
SETTINGS: dict[str, dict[str, float]] = {
    "permission": {
        "snapshot_s": SNAPSHOT_S,
        "snapshot_hot_s": SNAPSHOT_S,
        "snapshot_sensitive_s": SNAPSHOT_S,
        "span_s": 3,
        "half_open_after_s": 1,
        "close_after_s": 1,
    }
}
#: What a busy machine of two cores may add to every deadline: the question, the timers and the way there and back.
SLACK_S = 2.0
#: For what is sure to come: a durable event that was given to a node that died then is given again after 30 s.
PATIENCE_S = 60.0

ORDINARY, MANAGED, PUBLIC = 1, 2, 3
_REST_TIMEOUT_S = 15.0


class Answer(NamedTuple):
    """What became of a message: STORED or FAILED, how long it took, and the error's reason."""

    status: str
    took_s: float
    seq: int
    code: str
    reason: str


class Talker:
    """Somebody with one device at one node."""

    def __init__(self, node: Node, town: Town) -> None:
        self.person: Inhabitant = town.next()
        self.user_id = self.person.account.user_id
        self.token = town.token(self.person, "phone")
        self.heard: list[dict[str, Any]] = []
        self.acks: list[dict[str, Any]] = []
        self._count = 0
        self._last_name = ""
        self._wire = TcpWire(node.host, node.ports["tcp"])
        self._wire.send({"connect": {"token": self.token, "deviceId": "phone", "platform": "bot"}})
        answer = self._wire.receive(PATIENCE_S)
        assert answer is not None and "connected" in answer, answer

    def says(self, conversation_id: str, kind: str = "text", **more: Any) -> Answer:
        """Send something of this kind, and wait for the last word on it."""
        name = self.puts(conversation_id, kind, **more)
        return self.outcome(name, time.monotonic())

    def gets_through(self, conversation_id: str) -> int:
        """Says something until it is stored, as it is once what was broken before is whole again; its seq."""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            answer = self.says(conversation_id)
            if answer.status == "STORED":
                return answer.seq
            assert time.monotonic() < deadline_s, answer
            time.sleep(0.5)

    def puts(self, conversation_id: str, kind: str = "text", *, recalls: int = 0, peer: int = 0) -> str:
        """Send it; its clientMsgId."""
        self._count += 1
        name = self._last_name = f"{kind}.{self.user_id}.{self._count}"
        if kind == "control":
            self._wire.send(
                {"recall": {"conversationId": conversation_id, "seq": recalls, "clientMsgId": name}}
            )
            return name
        send: dict[str, Any] = {"conversationId": conversation_id, "clientMsgId": name}
        if peer:
            send["peerUserId"] = peer
        if kind == "media":
            send |= {"type": "IMAGE", "mediaRef": {"mediaId": "m-1"}}
        else:
            send |= {"type": "TEXT", "textContent": name}
        self._wire.send({"send": send})
        return name

    @property
    def last_name(self) -> str:
        """The clientMsgId of the message that was put last."""
        return self._last_name

    def acknowledges(self, conversation_id: str, seq: int) -> None:
        """Says that it has everything up to here."""
        self._wire.send({"deliverAck": {"conversationId": conversation_id, "seq": seq}})

    def outcome(self, name: str, sent_s: float) -> Answer:
        """The last word on a message."""
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            self.listen(0.5)
            for ack in self.acks:
                if ack.get("clientMsgId") == name and ack.get("status") in ("STORED", "FAILED"):
                    error = ack.get("error", {})
                    return Answer(
                        ack["status"],
                        ack["at_s"] - sent_s,
                        int(ack.get("seq", 0)),
                        str(error.get("code", "")),
                        str(error.get("reason", "")),
                    )
        raise AssertionError(f"nothing was said about {name}: {self.acks[-5:]}")

    def listen(self, seconds: float) -> None:
        """Take in what has come, at least one thing or until so long is over."""
        envelope = self._wire.receive(seconds)
        while envelope is not None:
            if "ack" in envelope:
                self.acks.append(envelope["ack"] | {"at_s": time.monotonic()})
            elif "deliver" in envelope:
                self.heard.append(envelope["deliver"]["message"])
            envelope = self._wire.receive(0.0)

    def hears_recall(self, conversation_id: str, seq: int) -> dict[str, Any]:
        """The recall of this message, as it is delivered."""
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            self.listen(0.5)
            for message in self.heard:
                recall = message.get("recall")
                if message["conversationId"] == conversation_id and recall and int(recall["seq"]) == seq:
                    return message
        raise AssertionError(f"message {seq} of {conversation_id} is not taken back: {self.heard[-5:]}")

    def is_told(self, name: str, status: str) -> dict[str, Any]:
        """The ack with this status for this message."""
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            for ack in self.acks:
                if ack.get("clientMsgId") == name and ack.get("status") == status:
                    return ack
            self.listen(0.5)
        raise AssertionError(f"{name} is not {status}: {self.acks[-5:]}")

    def peer_conversation(self, other: Talker) -> str:
        """The id that a 1:1 conversation with them has, or would have."""
        return direct_conversation_id(self.user_id, other.user_id)

    def close(self) -> None:
        self._wire.close()


class Operator:
    """Sets what holds for all nodes."""

    def __init__(self, cluster: Cluster) -> None:
        (self._admin,) = cluster.of_role("admin")
        self._nodes = cluster.of_role("core")
        self._token = cluster.configuration.operator_token_file.read_text().strip()

    def set(self, settings: dict[str, Any]) -> int:
        """Returns the version, when all core nodes go by it."""
        current = self._call("GET", None)["version"]
        version = int(
            self._call("PUT", {"basedOn": current, "comment": "test", "settings": settings})["version"]
        )
        says = f"settings version {version} is in force"
        deadline_s = time.monotonic() + PATIENCE_S
        for node in self._nodes:
            while says not in node.process.log_file.read_text(errors="replace"):
                assert time.monotonic() < deadline_s, f"{node.name} does not take version {version}"
                time.sleep(0.1)
        return version

    def _call(self, method: str, body: dict[str, Any] | None) -> Any:
        return _rest(f"{self._admin.http_url}/api/v1/settings", method, body, self._token)


def rest(node: Node, talker: Talker, method: str, path: str, body: Any = None) -> Any:
    """A request of this person to a business node."""
    return _rest(f"{node.http_url}/api/v1{path}", method, body, talker.token)


def _rest(url: str, method: str, body: Any, token: str) -> Any:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=_REST_TIMEOUT_S) as answer:
        raw = answer.read()
        return json.loads(raw) if raw else None


#: For what is slow on purpose, on a machine that may be slow besides: an answer still counts.
PATIENT = {"timed_out_above_ms": 5000, "deadline_ms": 5000}


class Records:
    """The business database, beside the nodes."""

    def __init__(self, cluster: Cluster) -> None:
        mariadb = cluster.mariadb
        self.engine: Engine = open_mysql(
            MysqlServer(mariadb.host, mariadb.port, mariadb.user, mariadb.password, mariadb.database),
            connections=1,
        )

    def close(self) -> None:
        self.engine.dispose()

    def pair(self, one: Talker, other: Talker) -> str:
        """Their 1:1 conversation."""
        return self._conversation(one, other, direct=True)

    def group(self, *members: Talker, kind: int = ORDINARY, sensitive: bool = False) -> str:
        """A group of these; the first one owns it."""
        name = self._conversation(*members, direct=False)
        with self.engine.begin() as connection:
            connection.execute(
                update(group_conversations)
                .where(group_conversations.c.id == name)
                .values(kind=kind, sensitive=int(sensitive))
            )
        return name

    def _conversation(self, *members: Talker, direct: bool) -> str:
        rows = ConversationRows([each.person.account for each in members], system_wall_clock())
        name = rows.add(ConversationWish("p2p" if direct else "group", list(range(len(members)))))
        with self.engine.begin() as connection:
            insert_ignore(connection, direct_conversations, rows.direct)
            insert_ignore(connection, group_conversations, rows.groups)
            insert_ignore(connection, group_members, rows.members)
        return name

    def is_member(self, conversation_id: str, talker: Talker) -> bool:
        """Whether they are in the group, by what is committed."""
        query = select(group_members.c.role).where(
            group_members.c.group_id == conversation_id, group_members.c.user_id == talker.user_id
        )
        with self.engine.connect() as connection:
            return connection.execute(query).first() is not None

    def audited(self, *names: str, within_s: float = PATIENCE_S) -> dict[str, tuple[str, int]]:
        """(decision, level) of what was recorded of messages, by clientMsgId; waits for as many as are named."""
        deadline_s = time.monotonic() + within_s
        query = select(audit_events).where(
            audit_events.c.request_id.in_(names),
            audit_events.c.action.in_(("message.send", "message.recall")),
        )
        while True:
            with self.engine.connect() as connection:
                found = {row.request_id: (row.decision, row.level) for row in connection.execute(query).all()}
            if len(found) >= len(names) or time.monotonic() > deadline_s:
                return found
            time.sleep(0.2)
