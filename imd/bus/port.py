"""The bus on which core, business and admin meet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from imd.kernel.errors import ServerBusy

#: Answers a request with bytes. What it raises is logged where it happens, the caller sees BusFailure.
Responder = Callable[[bytes], Awaitable[bytes]]
#: Takes a published payload. What it raises is logged; on a durable subject it is tried again.
Subscriber = Callable[[str, bytes], Awaitable[None]]

#: As NATS has it by default; whoever needs more pages or sends a reference.
MAX_PAYLOAD_BYTES = 1024 * 1024


class Bus(Protocol):
    """Publish, subscribe and request, with the promises of core NATS and JetStream.

    * ``publish`` is at most once, in order for one publisher and subject, and returns before
      anybody has seen it. Payloads are copied; delivery happens on a later turn. A subscriber
      gets one message at a time; subscribers do not wait for each other.
    * ``publish_durable`` returns when the event is recorded; each named consumer then gets it at
      least once, in order, also after a crash, up to 5 tries up to 40 s apart, then it is put aside
      as a dead letter. A consumer that is new gets what is still kept (at most 7 days); of ``NEWEST_COUNTS`` and
      ``FADES_AFTER_S`` (``imd.bus.subjects``) it begins where these say, each time its process starts.
    * ``request`` raises ``NoResponder`` at once if nobody serves the subject, ``TimeoutError`` after
      ``timeout_s`` (the outcome is then unknown), ``BusFailure`` if the responder raised or the
      connection was lost meanwhile. Several responders of one subject share its requests; one responder
      may run many at a time.
    * Subjects may be subscribed to with ``*`` for one token and a final ``>`` for the rest.
    * What is queued is bounded: above that, and after ``stop``, sending raises ``BusRefused``;
      a payload above ``MAX_PAYLOAD_BYTES`` is a ``ValueError``.
    * Each handler runs in a context of its own. What is published or asked ``carrying`` a trace
      (``imd.kernel.trace_context``) is handled carrying the same; durable events, which others handle later
      and in batches, carry none.
    * ``stop`` waits for the handlers that run.
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
    """The other side failed while answering, or is cut off; the outcome is unknown."""


class BusRefused(ServerBusy):
    """The bus is full, stopped or not connected, or who was asked has no room; nothing was done."""
