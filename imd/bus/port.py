"""The bus on which core, business and admin meet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

#: Answers a request with bytes, or raises; whatever it raises reaches the caller as NoResponder's kin.
Responder = Callable[[bytes], Awaitable[bytes]]
#: Takes a published payload. What it raises is logged; on a durable subject it is tried again.
Subscriber = Callable[[str, bytes], Awaitable[None]]


class Bus(Protocol):
    """Publish, subscribe and request, with the promises of core NATS and JetStream.

    * ``publish`` is at most once, in order for one publisher and subject, and returns before
      anybody has seen it. Payloads are copied; delivery happens on a later turn.
    * ``publish_durable`` returns when the event is recorded; each named consumer then gets it at
      least once, in order, also after a crash, up to 5 tries each 30 s apart at most.
    * ``request`` raises ``NoResponder`` at once if nobody serves the subject, ``TimeoutError`` after
      ``timeout_s`` (the outcome is then unknown), ``BusFailure`` if the responder raised.
    * Subjects may be subscribed to with ``*`` for one token and a final ``>`` for the rest.
    """

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def publish(self, subject: str, payload: bytes) -> None: ...

    async def publish_durable(self, subject: str, payload: bytes) -> None: ...

    def subscribe(self, subject: str, subscriber: Subscriber) -> None: ...

    def consume(self, subject: str, consumer: str, subscriber: Subscriber) -> None: ...

    def respond(self, subject: str, responder: Responder) -> None: ...

    async def request(self, subject: str, payload: bytes, *, timeout_s: float) -> bytes: ...


class NoResponder(Exception):
    """Nobody serves this subject now; the request had no effect."""


class BusFailure(Exception):
    """The other side failed while answering; the outcome is unknown."""
