"""A bound on what Twisted keeps of a request's body before anybody has looked at it."""

from __future__ import annotations

import msgspec
from twisted.web.http import HTTPChannel
from twisted.web.server import Request

from imd.business.rest.problems import Unanswerable, problem_of
from imd.business.rest.reading import MAX_BODY_BYTES, max_body_bytes


class BoundedRequest(Request):
    """Refuses a body over what its path may have: from its declared length, or when the stream exceeds it.

    The answer goes out at once and the connection ends; nothing of the body is kept.
    """

    _max_body_bytes = MAX_BODY_BYTES
    _received_bytes = 0
    _refused = False

    def gotLength(self, length: int | None) -> None:
        """The header is complete."""
        # Of the request line, which twisted.web hands out with the body only.
        self._max_body_bytes = max_body_bytes(getattr(self.channel, "_path", b""))
        if length is not None and length > self._max_body_bytes:
            super().gotLength(0)  # type: ignore[no-untyped-call]
            self._refuse()
            return
        # Without a length Twisted opens a temporary file; so small a body belongs into memory.
        super().gotLength(0 if length is None else length)  # type: ignore[no-untyped-call]

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body has come."""
        if self._refused:
            return
        self._received_bytes += len(data)
        if self._received_bytes > self._max_body_bytes:
            self._refuse()
            return
        super().handleContentChunk(data)  # type: ignore[no-untyped-call]

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """All of it has come."""
        if not self._refused:
            # Twisted would take forms apart, and answer broken ones by itself; nothing here takes any.
            kind = self.requestHeaders.getRawHeaders(b"content-type", [b""])[0].lower()
            if kind.startswith((b"multipart/", b"application/x-www-form-urlencoded")):
                self.requestHeaders.setRawHeaders(b"content-type", [b"application/octet-stream"])
            super().requestReceived(command, path, version)  # type: ignore[no-untyped-call]

    def _refuse(self) -> None:
        self._refused = True
        error = Unanswerable(413, f"the body is over {self._max_body_bytes} bytes")
        body = msgspec.json.encode(problem_of(error))
        channel = self.channel
        assert isinstance(channel, HTTPChannel) and channel.transport is not None
        channel.transport.write(
            b"HTTP/1.1 413 Content Too Large\r\nContent-Type: application/json\r\n"
            b"X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        channel.loseConnection()
