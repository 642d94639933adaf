"""A server with people in it, two of whom talk on while others misbehave."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from imd.client.load.crowd import ConversationWish, Crowd, CrowdWish
from imd.config.load import load
from imd.kernel.clocks import system_wall_clock
from imd.roles.seed import seed
from tests.live.server import NO_LIMITS, LiveServer
from tests.live.standalone_client import Client, Login
from tests.live.standalone_wire import ConnectionLost, TcpWire

#: Quick deadlines, so that the tests are.
QUICK: Mapping[str, object] = {"auth_timeout_s": 2, "frame_timeout_s": 2, "drain_timeout_s": 5}


def inhabited_server(
    *, people: int, group: int = 0, settings: Mapping[str, Mapping[str, object]] | None = None
) -> tuple[LiveServer, Crowd]:
    """A server, not started, with so many people, the first so many of them in one group."""
    merged = {name: dict(keys) for name, keys in NO_LIMITS.items()} | {"gateway": dict(QUICK)}
    for name, keys in (settings or {}).items():
        merged.setdefault(name, {}).update(keys)
    server = LiveServer(settings=merged)
    wanted = [ConversationWish(kind="group", members=list(range(group)))] if group else []
    wish = CrowdWish(users=people, conversations=wanted)
    crowd = seed(load(str(server.config_file), os.environ), wish, wall_clock=system_wall_clock)
    return server, crowd


def login_of(crowd: Crowd, index: int) -> Login:
    person = crowd.people[index]
    return Login(str(person.user_id), person.device_id, person.token)


def client_of(server: LiveServer, crowd: Crowd, index: int) -> Client:
    """That person's client, connected over TCP."""
    client = Client(login_of(crowd, index), lambda: TcpWire("127.0.0.1", server.tcp_port))
    client.connect()
    return client


def raw(server: LiveServer, data: bytes = b"", *, port: int = 0) -> socket.socket:
    """A socket on which something has been said."""
    reached = socket.create_connection(("127.0.0.1", port or server.tcp_port), timeout=10)
    if data:
        reached.sendall(data)
    return reached


def ended_within(reached: socket.socket, seconds: float) -> bytes:
    """Everything that comes until the server closes; TimeoutError if it does not."""
    deadline_s = time.monotonic() + seconds
    came = b""
    with reached:
        while True:
            reached.settimeout(max(0.001, deadline_s - time.monotonic()))
            try:
                data = reached.recv(65536)
            except ConnectionResetError:
                return came
            if not data:
                return came
            came += data


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_s(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Conversation(threading.Thread):
    """Two well-behaved people: one says something every 20 ms, the other notes how long it took."""

    def __init__(self, speaker: Client, listener: Client) -> None:
        super().__init__(daemon=True)
        self._speaker = speaker
        self._listener = listener
        self._ending = threading.Event()
        self.latencies_s: list[float] = []
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            while not self._ending.is_set():
                self._say_one()
                time.sleep(0.02)
        except (ConnectionLost, TimeoutError, KeyError) as error:
            self.failure = error

    def _say_one(self) -> None:
        began_s = time.monotonic()
        sent = self._speaker.send_text(self._listener.login.user_id, "still here")
        self._speaker.run_until(lambda: self._speaker.acks.get(sent, {}).get("status") == "STORED")
        ack = self._speaker.acks[sent]
        log = self._listener.log[ack["conversationId"]]
        self._listener.run_until(lambda: len(log) >= int(ack["seq"]))
        self.latencies_s.append(time.monotonic() - began_s)

    def end(self) -> None:
        self._ending.set()
        self.join(30)

    @property
    def slow_s(self) -> float:
        """What 19 of 20 exchanges took at most."""
        latencies_s = sorted(self.latencies_s)
        assert latencies_s, "the neighbours did not get to talk"
        return latencies_s[len(latencies_s) * 19 // 20]


@contextmanager
def undisturbed(server: LiveServer, crowd: Crowd, *, most_s: float = 0.5) -> Iterator[Conversation]:
    """The last two people talk meanwhile; no exchange may fail, and 19 of 20 take less than ``most_s``."""
    speaker, listener = client_of(server, crowd, -1), client_of(server, crowd, -2)
    conversation = Conversation(speaker, listener)
    conversation.start()
    try:
        yield conversation
    finally:
        conversation.end()
        speaker.close()
        listener.close()
    if conversation.failure is not None:
        raise conversation.failure
    assert conversation.slow_s < most_s, f"the neighbours waited {conversation.slow_s:.2f} s"
