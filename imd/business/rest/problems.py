"""Errors as HTTP answers: the same codes as on the wire, with a fitting status."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from imd.business.accounts.profile import NoSuchUser
from imd.kernel.errors import Code, ImError, PayloadInvalid

_STATUS = {
    Code.AUTH_FAILED: 401,
    Code.FORBIDDEN: 403,
    Code.RATE_LIMITED: 429,
    Code.PAYLOAD_INVALID: 400,
    Code.MEDIA_REQUIRED: 400,
    Code.IDEMPOTENT_CONFLICT: 409,
    Code.SERVER_BUSY: 503,
    Code.INTERNAL_ERROR: 500,
}


class Unanswerable(PayloadInvalid):
    """A request that is wrong as HTTP, with the status that says how."""

    def __init__(self, status: int, message: str, *, field: str = "") -> None:
        super().__init__(message, field=field)
        self.status = status


class ProblemDetail(Struct):
    """What went wrong. ``code`` and ``name`` are stable, ``message`` is for people."""

    code: int
    name: str
    message: str
    retryable: bool
    retryAfterMs: Annotated[int, Meta(description="Also in the header Retry-After, in seconds.")]
    field: Annotated[str, Meta(description="Dotted path of what is to blame; empty: no one field.")]
    reason: Annotated[
        str, Meta(description="A word for programs where the code says too little, as on the wire; or empty.")
    ]


class Problem(Struct):
    """Every answer that is not 2xx."""

    error: ProblemDetail


#: For people who write clients.
MEANING = (
    "Not done; error.code says why. "
    + ", ".join(f"{code:d} {code.name}: {status}" for code, status in _STATUS.items())
    + ". What is wrong as HTTP has 1007 and 404, 405, 413 or 415; a handle that nobody has, 1007 and 404. "
    "Further codes may come: take them as some other error."
)


def status_of(error: ImError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, Unanswerable):
        return error.status
    if isinstance(error, NoSuchUser):
        return 404
    return _STATUS[error.code]


def problem_of(error: ImError) -> Problem:
    """The body of an error."""
    return Problem(
        ProblemDetail(
            error.code,
            error.code.name,
            error.message,
            error.retryable,
            error.retry_after_ms,
            error.field,
            error.reason,
        )
    )
