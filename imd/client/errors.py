"""What can go wrong on this side; what the server refuses comes as the ImError of its code."""

from __future__ import annotations

from imd.kernel.errors import Code, ImError


class Unreachable(ImError):
    """No connection: nobody listens there, the name is unknown, TLS failed, or nobody answered."""

    code = Code.SERVER_BUSY
    retryable = True


class Disconnected(ImError):
    """Not connected now, or the connection went before the answer came. Sends are kept and resent by
    themselves; only questions end like this."""

    code = Code.SERVER_BUSY
    retryable = True


class SessionOver(ImError):
    """The client was stopped, kicked or locked out; ``Client.start`` of a new client begins anew.

    A message that fails with this may have been stored, if it had been written before.
    """

    code = Code.AUTH_FAILED


class OutboxFull(ImError):
    """Too many messages wait for their ACK; send slower."""

    code = Code.RATE_LIMITED
    retryable = True
