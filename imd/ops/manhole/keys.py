"""The manhole's own key, and the keys of those who may come."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.ssh.keys import BadKeyError, EncryptedKeyError, FingerprintFormats, Key
from twisted.logger import Logger

from imd.config.manhole import MAX_KEYS_BYTES, own_file
from imd.kernel.errors import StartupError

#: One of RSA with 16,384 bits has a tenth of this.
_MAX_HOST_KEY_BYTES = 128 * 1024

_log = Logger(namespace="imd.ops.manhole")


class AuthorizedKey(NamedTuple):
    """A line of authorized_keys."""

    key: Key
    #: The comment, by which the operator is known; the fingerprint where there is none.
    operator: str


def host_key(file: str) -> Key:
    """The key in ``file``, made there if there is none.

    :raises StartupError: it cannot be read or made, is open to others, or is somebody else's.
    """
    path = Path(file)
    try:
        _make(path)
        content = own_file(file, others=0o077, max_bytes=_MAX_HOST_KEY_BYTES)
    except OSError as error:
        raise StartupError(f"manhole.host_key_file: cannot make {file}: {error.strerror}") from None
    except ValueError as error:
        raise StartupError(f"manhole.host_key_file: {error}") from None
    try:
        key: Key = Key.fromString(content)
    except (BadKeyError, EncryptedKeyError, ValueError) as error:
        raise StartupError(
            f"manhole.host_key_file: {file} holds no private key without a password ({error}); delete it to have a "
            "new one made"
        ) from None
    if key.isPublic():
        raise StartupError(f"manhole.host_key_file: {file} holds a public key; expected a private one")
    return key


def authorized_keys(file: str) -> list[AuthorizedKey]:
    """Who may come.

    :raises ValueError: nobody can be let in by this file; says why.
    """
    content = own_file(file, others=0o022, max_bytes=MAX_KEYS_BYTES)
    lines = content.decode("utf-8", "replace").splitlines()
    found: list[AuthorizedKey] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found.append(_parsed(line.strip(), f"{file}, line {number}"))
    if not found:
        raise ValueError(f"{file} holds no key; expected a line such as ssh-ed25519 AAAA... alice")
    return found


def _parsed(line: str, where: str) -> AuthorizedKey:
    try:
        key: Key = Key.fromString(line.encode(), type="public_openssh")
    except Exception as error:
        # Of many kinds, for the library takes the line apart without looking.
        raise ValueError(
            f"{where}: is no public key ({error}); expected such as ssh-ed25519 AAAA... alice, without options before it"
        ) from None
    comment = " ".join(line.split()[2:])
    return AuthorizedKey(key, comment or fingerprint(key))


def fingerprint(key: Key) -> str:
    """As ``ssh-keygen -l`` writes it."""
    return "SHA256:" + str(key.fingerprint(FingerprintFormats.SHA256_BASE64)).rstrip("=")


def _make(path: Path) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return
    key = Key(Ed25519PrivateKey.generate())
    with os.fdopen(handle, "wb") as file:
        file.write(key.toString("openssh"))
        file.flush()
        os.fsync(file.fileno())
    _log.info(
        "made the manhole's own key: {path}, {fingerprint}",
        path=str(path),
        fingerprint=fingerprint(key.public()),
    )
