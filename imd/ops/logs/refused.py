"""The line that tells of a request or a login that was refused."""

from __future__ import annotations

from twisted.logger import Logger, LogLevel

from imd.kernel.errors import AuthFailed, Forbidden, ImError, RateLimited
from imd.ops.logs.sampling import KIND

#: What tells of somebody who tries; other refusals tell of a client that is wrong, or of ourselves.
_TOLD = (AuthFailed, Forbidden, RateLimited)


def log_refused(log: Logger, what: str, error: ImError, *, peer: str, user_id: int = 0) -> None:
    """Tell of it at info, or at debug. A flood is sampled, each operation and code for itself.

    The error's message is one that whoever asked may read.

    :param what: the operation.
    :param user_id: 0: not known.
    """
    log.emit(
        LogLevel.info if isinstance(error, _TOLD) else LogLevel.debug,
        "{what} is refused: {code} {error}, user {user_id}, from {peer}",
        what=what,
        code=int(error.code),
        error=error.message,
        user_id=user_id or "unknown",
        peer=peer,
        **{KIND: f"{what} {error.code}"},
    )
