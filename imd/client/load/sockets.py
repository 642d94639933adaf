"""Thousands of plain non-blocking sockets in one process, as cheap as Python allows.

No reactor: one ``recv`` and at most one ``send`` a readiness event, and nothing else.
"""

from __future__ import annotations

import random
import select
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from imd.client.load.device import Device, State

_READ_BYTES: Final = 65_536
_READ: Final = select.EPOLLIN
_READ_WRITE: Final = select.EPOLLIN | select.EPOLLOUT


class Link:
    """One device's connection."""

    __slots__ = ("backlog", "device", "moves", "number", "socket", "wanted")

    def __init__(self, number: int, device: Device) -> None:
        self.number = number
        self.device = device
        self.socket: socket.socket | None = None
        self.backlog = b""
        #: Whether the device shall be connected, and come back when it is cut off.
        self.wanted = False
        #: How often it was cut off, and so tried the next address.
        self.moves = 0


class Sockets:
    """Connects devices, moves their bytes, and brings them back with full jitter."""

    def __init__(
        self,
        devices: Sequence[Device],
        *,
        addresses: Sequence[tuple[str, int]],
        sources: Sequence[str],
        connecting: int,
        jitter_s: float,
        clock_ns: Callable[[], int],
        rng: random.Random,
    ) -> None:
        self.links = [Link(number, device) for number, device in enumerate(devices)]
        #: How often a connection was lost that was wanted.
        self.cut = 0
        self._addresses = addresses
        self._sources = sources
        self._most_connecting = connecting
        self._jitter_ns = int(jitter_s * 1e9)
        self._clock_ns = clock_ns
        self._rng = rng
        self._epoll = select.epoll()
        self._by_fd: dict[int, Link] = {}
        #: Links not READY yet, by number: since when.
        self._opening: dict[int, int] = {}
        self._queue: deque[Link] = deque()
        #: (when, link) of those that wait before they come back.
        self._waiting: list[tuple[int, Link]] = []
        #: (when, link, its socket) of those that were asked to leave.
        self._leaving: list[tuple[int, Link, socket.socket | None]] = []
        self._others: dict[int, Callable[[], None]] = {}

    def watch(self, fd: int, readable: Callable[[], None]) -> None:
        """Call ``readable`` whenever ``fd`` is."""
        self._epoll.register(fd, _READ)
        self._others[fd] = readable

    def want(self, count: int) -> None:
        """The first ``count`` devices shall be connected."""
        for link in self.links[:count]:
            if not link.wanted:
                link.wanted = True
                self._queue.append(link)

    @property
    def ready(self) -> int:
        """How many devices are connected and caught up."""
        return sum(1 for link in self.links if link.device.caught_up)

    def poll(self, timeout_s: float) -> None:
        """Wait for events and serve them."""
        clock_ns = self._clock_ns
        for fd, mask in self._epoll.poll(timeout_s):
            link = self._by_fd.get(fd)
            if link is None or link.socket is None:
                if fd in self._others:
                    self._others[fd]()
                continue
            device = link.device
            if device.state is State.AWAY and not self._established(link):
                continue
            if mask & ~select.EPOLLOUT:
                try:
                    data = link.socket.recv(_READ_BYTES)
                except BlockingIOError:
                    continue
                except OSError:
                    data = b""
                if not data:
                    self._lost(link)
                    continue
                device.received(data, clock_ns())
                if device.leave_within_ms >= 0:
                    self._leave_soon(link)
            if device.out or link.backlog:
                self.flush(link)

    def flush(self, link: Link) -> None:
        """Hand over what the device wants to say, in one write."""
        out = link.device.out
        connection = link.socket
        if connection is None:
            out.clear()
            return
        if link.device.state is State.AWAY:
            return
        data = link.backlog + b"".join(out) if link.backlog else b"".join(out)
        out.clear()
        try:
            written = connection.send(data)
        except BlockingIOError:
            written = 0
        except OSError:
            self._lost(link)
            return
        waiting = bool(link.backlog)
        link.backlog = data[written:]
        if bool(link.backlog) != waiting:
            self._epoll.modify(connection.fileno(), _READ if waiting else _READ_WRITE)

    def tend(self, now_ns: int) -> None:
        """Open the connections that are due; call it now and then."""
        if self._waiting:
            for when_ns, link in self._waiting:
                if when_ns <= now_ns:
                    self._queue.append(link)
            self._waiting = [entry for entry in self._waiting if entry[0] > now_ns]
        if self._leaving:
            due = [(link, left) for when_ns, link, left in self._leaving if when_ns <= now_ns]
            self._leaving = [entry for entry in self._leaving if entry[0] > now_ns]
            for link, left in due:
                if link.socket is left:
                    self._lost(link)
        opening = self._opening
        if opening:
            for number in [n for n in opening if self.links[n].device.state is State.READY]:
                del opening[number]
        while self._queue and len(opening) < self._most_connecting:
            self._open(self._queue.popleft())

    def _open(self, link: Link) -> None:
        # Neighbours in number, who talk with each other, go to different nodes; whoever was cut off, to the next one.
        address = self._addresses[(link.number + link.moves) % len(self._addresses)]
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._sources:
            connection.bind((self._sources[link.number % len(self._sources)], 0))
        link.socket = connection
        link.backlog = b""
        self._opening[link.number] = self._clock_ns()
        self._by_fd[connection.fileno()] = link
        self._epoll.register(connection.fileno(), _READ_WRITE)
        connection.connect_ex(address)

    def _established(self, link: Link) -> bool:
        """Whether a socket that became ready is a connection now."""
        connection = link.socket
        assert connection is not None
        if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._lost(link)
            return False
        self._epoll.modify(connection.fileno(), _READ)
        link.device.connected()
        self.flush(link)
        return True

    def _lost(self, link: Link) -> None:
        self._close(link)
        if link.wanted:
            self.cut += 1
            link.moves += 1
            self._waiting.append((self._clock_ns() + int(self._rng.random() * self._jitter_ns), link))

    def _leave_soon(self, link: Link) -> None:
        """The node goes down: at some time within what it gives, to the next one."""
        within_ns, link.device.leave_within_ms = link.device.leave_within_ms * 1_000_000, -1
        self._leaving.append((self._clock_ns() + int(self._rng.random() * within_ns), link, link.socket))

    def _close(self, link: Link) -> None:
        connection = link.socket
        if connection is None:
            return
        self._epoll.unregister(connection.fileno())
        del self._by_fd[connection.fileno()]
        self._opening.pop(link.number, None)
        connection.close()
        link.socket = None
        link.backlog = b""
        link.device.disconnected()

    def drop(self) -> None:
        """Cut every connection, as a dead network would; the devices come back."""
        for link in self.links:
            if link.socket is not None:
                self._lost(link)

    def close(self) -> None:
        for link in self.links:
            link.wanted = False
            self._close(link)
        self._epoll.close()
