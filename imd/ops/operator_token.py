"""The token of operators: made at first start, in a file that only the server's user may read."""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

from twisted.logger import Logger

from imd.config.secret import read_secret
from imd.kernel.errors import StartupError

#: 256 bits: nobody guesses it, so wrong tries need no counting.
_BYTES = 32
_MIN_LENGTH = 32


class OperatorToken:
    """A stage; what it knows it knows after ``start``.

    :param key: of the configuration that names the file, for who reads errors.
    """

    _log = Logger()

    def __init__(self, file: str | Path, *, key: str) -> None:
        self._path = Path(file)
        self._key = key
        self._token = ""

    def __repr__(self) -> str:
        return f"OperatorToken({str(self._path)!r})"

    async def start(self) -> None:
        try:
            self._make()
            self._token = read_secret(str(self._path))
        except OSError as error:
            raise StartupError(f"cannot make {self._path}: {error.strerror}; see {self._key}") from None
        except ValueError as error:
            raise StartupError(f"{self._key}: {error}") from None
        if len(self._token) < _MIN_LENGTH:
            raise StartupError(
                f"the token in {self._path} is shorter than {_MIN_LENGTH} characters: delete the file to have a "
                "new one made"
            )

    async def stop(self) -> None:
        """Nothing to end."""

    def is_right(self, token: str) -> bool:
        """In constant time."""
        return bool(self._token) and hmac.compare_digest(self._token.encode(), token.encode())

    def value(self) -> str:
        """The token itself; empty before the start."""
        return self._token

    def _make(self) -> None:
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            return
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._log.info("made the operators' token: {path}", path=str(self._path))
