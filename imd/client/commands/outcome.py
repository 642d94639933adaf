"""How a command ends: exit codes, and the one line that says why."""

from __future__ import annotations

from imd.client.errors import SessionOver, Unreachable
from imd.kernel.errors import AuthFailed, ImError
from imd.kernel.timeouts import TimeoutError

OK = 0
REFUSED = 1
USAGE = 2
UNREACHABLE = 3
LOGIN_NEEDED = 4
INTERRUPTED = 130


class Usage(Exception):
    """The command makes no sense as it was given."""


class WrongPassword(AuthFailed):
    """At a login, where there is no use in the advice to log in."""


def exit_code(error: BaseException) -> int | None:
    """The code for what went wrong; None: a fault of ours, to be shown as one."""
    if isinstance(error, Usage):
        return USAGE
    if isinstance(error, Unreachable | TimeoutError):
        return UNREACHABLE
    if isinstance(error, AuthFailed | SessionOver):
        return LOGIN_NEEDED
    if isinstance(error, ImError):
        return REFUSED
    return None


def explain(error: BaseException) -> str:
    """The line."""
    if isinstance(error, TimeoutError):
        return "the server did not answer in time"
    if isinstance(error, Unreachable):
        return f"the server cannot be reached: {error.message}"
    if not isinstance(error, ImError):
        return str(error)
    if isinstance(error, SessionOver) and "same_device" in error.message:
        return "another imc with this profile has taken over its session"
    hint = ""
    if error.retry_after_ms:
        hint = f" (try again in {max(1, round(error.retry_after_ms / 1000))} s)"
    if isinstance(error, AuthFailed) and not isinstance(error, WrongPassword):
        hint = " (log in again with 'imc login')"
    return f"{error.message}{hint}"
