"""Errors in the answers on the bus: an expected no travels as a ``Failure``, and is the same error again elsewhere."""

from __future__ import annotations

from imd.kernel.errors import ImError, error_for_code
from imd.pb.bus_pb2 import Failure


def failure_of(error: ImError) -> Failure:
    """What an answer carries."""
    return Failure(
        code=int(error.code),  # type: ignore[arg-type]
        message=error.message,
        retryable=error.retryable,
        reason=error.reason,
    )


def error_of(failure: Failure, *, field: str = "", retry_after_ms: int = 0) -> ImError:
    """The error that somebody else raised."""
    return error_for_code(
        failure.code, failure.message, field=field, retry_after_ms=retry_after_ms, reason=failure.reason
    )
