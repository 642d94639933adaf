"""The one exception tree: a code for the wire, a message safe to show, whether to try again.

Raise the class that names what happened, where it happens; ``core.gateway`` and the REST
layer translate to the wire in one place each. Codes: specification section 10.1.
"""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """Error codes that clients see."""

    OK = 0
    AUTH_FAILED = 1001
    FORBIDDEN = 1003
    RATE_LIMITED = 1005
    PAYLOAD_INVALID = 1007
    MEDIA_REQUIRED = 1010
    IDEMPOTENT_CONFLICT = 1012
    SERVER_BUSY = 1099
    INTERNAL_ERROR = 1999


class ImError(Exception):
    """Anything that a client is told about.

    :param message: safe to show to whoever asked: no secrets, no foreign data, no internals.
    :param field: dotted path of the offending field, if one is to blame.
    :param retry_after_ms: how long to wait before the same request may succeed.
    :param reason: a word for programs, where the code alone does not say enough.
    """

    code = Code.INTERNAL_ERROR
    retryable = False

    def __init__(self, message: str, *, field: str = "", retry_after_ms: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after_ms = retry_after_ms
        self.reason = reason
        #: Whoever refused has had it kept; whoever passes the error on need not.
        self.is_recorded = False


class AuthFailed(ImError):
    """The token, password or device does not prove who is asking."""

    code = Code.AUTH_FAILED


class Forbidden(ImError):
    """Not allowed; said alike for what is foreign and what does not exist."""

    code = Code.FORBIDDEN


class RateLimited(ImError):
    """Too much, too fast; ``retry_after_ms`` says when."""

    code = Code.RATE_LIMITED
    retryable = True


class PayloadInvalid(ImError):
    """The request itself is wrong; sending it again will not help."""

    code = Code.PAYLOAD_INVALID


class MediaRequired(ImError):
    """A media message without an uploaded medium."""

    code = Code.MEDIA_REQUIRED


class IdempotentConflict(ImError):
    """The idempotency key was used before, with other content."""

    code = Code.IDEMPOTENT_CONFLICT


class ServerBusy(ImError):
    """Full, or a dependency is slow; nothing was done, try again later."""

    code = Code.SERVER_BUSY
    retryable = True


class InternalError(ImError):
    """A fault of the server; the details are in its log only."""


class OutcomeUnknown(ImError):
    """The request may or may not have taken effect; ask again with the same id."""

    code = Code.SERVER_BUSY
    retryable = True


class StartupError(Exception):
    """The server cannot start; the message says what is wrong and what to do."""


_BY_CODE: dict[int, type[ImError]] = {
    cls.code: cls
    for cls in (
        AuthFailed,
        Forbidden,
        RateLimited,
        PayloadInvalid,
        MediaRequired,
        IdempotentConflict,
        ServerBusy,
        InternalError,
    )
}


def error_for_code(
    code: int, message: str, *, field: str = "", retry_after_ms: int = 0, reason: str = ""
) -> ImError:
    """The exception for a code that came over a wire; unknown codes become InternalError."""
    return _BY_CODE.get(code, InternalError)(
        message, field=field, retry_after_ms=retry_after_ms, reason=reason
    )
