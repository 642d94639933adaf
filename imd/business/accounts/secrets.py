"""The server's own secrets: made at first start or given, refused when they are weak or readable by others."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from imd.kernel.errors import StartupError

#: HS256 is as strong as its key (RFC 8725 section 3.5).
MIN_BYTES = 32
_MAX_BYTES = 4096
#: Bits of a mode that let in others than the owner.
_OTHERS = 0o077
#: Of a file that somebody gave: systemd and Kubernetes hand secrets over as root's, readable by a group that is ours.
_NOT_GIVEN = 0o037
#: What a person types to have one.
_RECIPE = "umask 077; openssl rand -hex 32 > {}"


def private_folder(path: Path) -> Path:
    """The folder, made with mode 0700 if it is not there."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_open_mode(path, path.stat().st_mode, "0700")
    except OSError as error:
        raise StartupError(
            f"cannot use the folder {path}: {error.strerror}; check its owner and mode"
        ) from None
    return path


def load_or_make(path: Path) -> bytes:
    """The secret in a file, made at random with mode 0600 if there is none.

    :raises StartupError: it is too short, or others than its owner may read it.
    """
    try:
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            return _load(path, "delete the file to have a new one made (everybody must log in again then)")
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(MIN_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StartupError(
            f"cannot read or make the secret {path}: {error.strerror}; check its folder's owner, mode and space"
        ) from None
    return _load(path, "delete the file and start again")


def load(path: Path) -> bytes:
    """The secret in a file that every node was given.

    :raises StartupError: it is not there, too short, or others than its owner may read it.
    """
    try:
        advice = f"write another one ({_RECIPE.format(path)}), and give the same to all nodes"
        return _load(path, advice, closed_to=_NOT_GIVEN)
    except FileNotFoundError:
        raise StartupError(
            f"there is no secret in {path}: write one ({_RECIPE.format(path)}), and give the same to all nodes"
        ) from None
    except OSError as error:
        raise StartupError(
            f"cannot read the secret {path}: {error.strerror}; check its owner and mode"
        ) from None


def _load(path: Path, advice: str, *, closed_to: int = _OTHERS) -> bytes:
    with path.open("rb") as file:
        _refuse_open_mode(path, os.fstat(file.fileno()).st_mode, "0600", closed_to)
        secret = file.read(_MAX_BYTES).strip()
    if len(secret) < MIN_BYTES or len(set(secret)) < 8:
        raise StartupError(f"the secret in {path} is shorter than {MIN_BYTES} bytes or too regular: {advice}")
    return secret


def _refuse_open_mode(path: Path, mode: int, wanted: str, closed_to: int = _OTHERS) -> None:
    if stat.S_IMODE(mode) & closed_to:
        raise StartupError(
            f"{path} is open to others than its owner (mode {stat.S_IMODE(mode):04o}): chmod {wanted} {path}"
        )


class SecretFile:
    """A secret that is there once it was started.

    :param given: it was written by somebody else, because several nodes must have the same; none is made.
    """

    def __init__(self, path: Path, *, given: bool = False) -> None:
        self._path = path
        self._given = given
        self._value = b""

    def __repr__(self) -> str:
        return f"SecretFile({str(self._path)!r})"

    async def start(self) -> None:
        """Load it; if it was not to be given, make it where there is none, in a folder of mode 0700."""
        if self._given:
            self._value = load(self._path)
            return
        private_folder(self._path.parent)
        self._value = load_or_make(self._path)

    async def stop(self) -> None:
        """Nothing to end."""

    def value(self) -> bytes:
        """The secret; only after ``start``."""
        if not self._value:
            raise RuntimeError("the secret is not loaded yet")
        return self._value
