"""Passwords from their files, when they are needed and not before."""

from __future__ import annotations

from imd.config.secret import read_secret
from imd.kernel.errors import StartupError


def password(section: str, file: str) -> str:
    """What is in the file; empty if none is named.

    :raises StartupError: it was good when the configuration was read, and is not any more.
    """
    if not file:
        return ""
    try:
        return read_secret(file)
    except ValueError as error:
        raise StartupError(f"the secret of {section}: {error}") from None
