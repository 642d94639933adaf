"""A client written from protocol/README.rst alone: no line of the server, no protobuf library.

Blocking and small: it logs in, sends, receives, is cut off, comes back, sends again what was not
acknowledged, and holds of every conversation the contiguous prefix only.
"""

from __future__ import annotations

import json
import random
import time
import urllib.error
import urllib.request
import uuid
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.live.standalone_proto import Json
from tests.live.standalone_wire import ConnectionLost, Wire

MAX_BACKOFF_S = 30.0


class Refused(Exception):
    """The server said no; ``error`` is its reason."""

    def __init__(self, error: Json) -> None:
        super().__init__(error.get("message", ""))
        self.error = error


class Login(NamedTuple):
    """What REST gives for a password."""

    user_id: str
    device_id: str
    token: str


class Rest:
    """The few calls that come before a connection."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(self, method: str, path: str, body: Json | None = None, *, token: str = "") -> Any:
        """One call below /api/v1; Refused if the answer is not 2xx."""
        request = urllib.request.Request(f"{self._base_url}/api/v1{path}", method=method)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with self._opener.open(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise Refused(json.load(error)["error"]) from None

    def register(self, handle: str, password: str, device_id: str) -> Login:
        """A new account, and its first login."""
        return self._enter("/register", handle, password, device_id)

    def login(self, handle: str, password: str, device_id: str) -> Login:
        """A token for this device."""
        return self._enter("/login", handle, password, device_id)

    def _enter(self, path: str, handle: str, password: str, device_id: str) -> Login:
        body = {"handle": handle, "password": password, "deviceId": device_id}
        answer = self.call("POST", path, body)
        return Login(answer["userId"], answer["deviceId"], answer["token"])


class Client:
    """One device. ``log`` holds, by conversation, the messages 1, 2, 3, ... without a hole."""

    def __init__(self, login: Login, reach: Callable[[], Wire]) -> None:
        self.login = login
        self._reach = reach
        self._wire: Wire | None = None
        self.connected: Json = {}
        self.log: dict[str, list[Json]] = defaultdict(list)
        self.acks: dict[str, Json] = {}
        self.receipts: dict[str, dict[str, Json]] = defaultdict(dict)
        self.unacked: dict[str, Json] = {}
        self._above_gap: dict[str, dict[int, Json]] = defaultdict(dict)
        self._pulling: set[str] = set()
        self._counted = 0

    # Connection

    def connect(self) -> None:
        """Log in on a new connection, then send again what has no final ACK."""
        self._wire = self._reach()
        self._pulling.clear()
        self._counted = 0
        connect = {
            "token": self.login.token,
            "deviceId": self.login.device_id,
            "platform": "bot",
            "clientVersion": "1",
            "cursors": self._cursors()[:40],
        }
        self._put({"connect": connect})
        self.connected = {}
        self.run_until(lambda: bool(self.connected))
        for envelope in self.unacked.values():
            self._put(envelope)

    def reconnect(self, *, timeout_s: float = 30.0) -> None:
        """Come back with full jitter."""
        deadline_s = time.monotonic() + timeout_s
        attempt = 0
        while True:
            try:
                self.close()
                self.connect()
                return
            except ConnectionLost:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(random.uniform(0, min(MAX_BACKOFF_S, 0.05 * 2**attempt)))
                attempt += 1

    def close(self) -> None:
        """Leave without a word."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _put(self, envelope: Json) -> None:
        if self._wire is None:
            raise ConnectionLost("not connected")
        self._wire.send(envelope)

    def _cursors(self) -> list[Json]:
        return [{"conversationId": name, "lastSeq": str(len(log))} for name, log in self.log.items()]

    # What a person does

    def send_text(self, peer_user_id: str, text: str) -> str:
        """Send, or keep for the next connection; returns the clientMsgId."""
        client_msg_id = str(uuid.uuid4())
        send = {"clientMsgId": client_msg_id, "type": "TEXT", "textContent": text, "peerUserId": peer_user_id}
        self.unacked[client_msg_id] = {"send": send}
        if self._wire is not None:
            self._put(self.unacked[client_msg_id])
        return client_msg_id

    def read(self, conversation_id: str) -> None:
        """Everything that is here."""
        read_seq = str(len(self.log[conversation_id]))
        self._put({"read": {"conversationId": conversation_id, "readSeq": read_seq}})

    def heartbeat(self) -> None:
        """A sign of life; the answer tells whether something was lost."""
        self._put({"hb": {"sentAt": str(int(time.time() * 1000))}})

    def run_until(self, condition: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
        """Take what comes until something has become true."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            left_s = deadline_s - time.monotonic()
            if self._wire is None:
                raise ConnectionLost("not connected")
            envelope = self._wire.receive(max(left_s, 0.0))
            if envelope is not None:
                self._take(envelope)
            elif left_s <= 0:
                raise TimeoutError("it did not happen in time")

    # What the server says

    def _take(self, envelope: Json) -> None:
        payload = next((name for name in envelope if name != "header"), "")
        take = getattr(self, f"_take_{payload.lower()}", None)
        # What is not known here is ignored: a newer server may say more.
        if take is not None:
            take(envelope[payload])

    def _take_connected(self, connected: Json) -> None:
        self.connected = connected

    def _take_error(self, error: Json) -> None:
        raise Refused(error)

    def _take_deliver(self, deliver: Json) -> None:
        self._counted += 1
        self._place(deliver["message"])

    def _take_hint(self, hint: Json) -> None:
        self._counted += 1
        self._catch_up(hint["conversationId"], int(hint["lastSeq"]))

    def _take_hb(self, heartbeat: Json) -> None:
        told = int(heartbeat.get("deliveredCount", "0"))
        if told > self._counted:
            self._sync()
        self._counted = told

    def _take_resync(self, resync: Json) -> None:
        self._pulling.clear()
        self._sync()

    def _take_ack(self, ack: Json) -> None:
        if ack["status"] == "STORED":
            sent = self.unacked.pop(ack["clientMsgId"], None)
            if sent is not None:
                message = dict(sent["send"], senderId=self.login.user_id, seq=ack["seq"])
                message["conversationId"] = ack["conversationId"]
                self._place(message)
        elif ack["status"] == "FAILED" and not ack["error"].get("retryable"):
            self.unacked.pop(ack["clientMsgId"], None)
        self.acks[ack["clientMsgId"]] = ack

    def _take_receiptnotice(self, notice: Json) -> None:
        for cursor in notice["cursors"]:
            self.receipts[notice["conversationId"]][cursor["userId"]] = cursor

    def _take_syncresp(self, page: Json) -> None:
        for state in page.get("behind", []):
            self._catch_up(state["conversationId"], int(state["lastSeq"]))
        if page.get("nextPageToken"):
            self._sync(page["nextPageToken"])

    def _take_historyresp(self, page: Json) -> None:
        conversation_id = page["conversationId"]
        self._pulling.discard(conversation_id)
        for message in page.get("messages", []):
            self._place(message)
        if page.get("messages"):
            self._catch_up(conversation_id, int(page.get("lastSeq", "0")))

    # Order

    def _place(self, message: Json) -> None:
        """Apply the contiguous prefix, keep what lies above a gap, and pull the gap."""
        conversation_id = message["conversationId"]
        log, above = self.log[conversation_id], self._above_gap[conversation_id]
        if int(message["seq"]) > len(log):
            above[int(message["seq"])] = message
        before = len(log)
        while len(log) + 1 in above:
            log.append(above.pop(len(log) + 1))
        if len(log) > before:
            self._put({"deliverAck": {"conversationId": conversation_id, "seq": str(len(log))}})
        if above:
            self._catch_up(conversation_id, max(above))

    def _catch_up(self, conversation_id: str, last_seq: int) -> None:
        held = len(self.log[conversation_id])
        if last_seq > held and conversation_id not in self._pulling:
            self._pulling.add(conversation_id)
            wanted = {"conversationId": conversation_id, "fromSeq": str(held + 1), "limit": 200}
            self._put({"historyReq": wanted})

    def _sync(self, page_token: str = "") -> None:
        self._put({"syncReq": {"cursors": self._cursors(), "pageToken": page_token}})

    def texts(self, conversation_id: str) -> list[str]:
        """What is to be read there, in order."""
        return [message.get("textContent", "") for message in self.log[conversation_id]]
