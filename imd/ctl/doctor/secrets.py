"""Passwords, keys and tokens: none that others know or can guess, none for two purposes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from imd.config.listeners import value_at
from imd.config.load import keys
from imd.config.secret import read_secret
from imd.ctl.doctor.finding import Check, Finding
from imd.ctl.doctor.targets import ROLES, Target

STRENGTH = Check("secrets.strength", "who guesses it has what it guards")
REUSE = Check("secrets.reuse", "who learns one of them has both")

_ENDINGS = ("password_file", "secret_file", "token_file")
#: A guess costs next to nothing where a server can be asked without end; 2 ** 64 of them are out of reach.
ENOUGH_BITS = 64
#: From samples, images and tutorials; whoever scans for servers tries them first.
WELL_KNOWN = frozenset(
    [
        "...",
        "admin",
        "change-me",
        "change_me",
        "changeit",
        "changeme",
        "core",
        "business",
        "default",
        "demo",
        "example",
        "guest",
        "hunter2",
        "im",
        "imd",
        "letmein",
        "mariadb",
        "mongo",
        "mysql",
        "nats",
        "pass",
        "passw0rd",
        "password",
        "placeholder",
        "qwerty",
        "redis",
        "replace-me",
        "replace_me",
        "root",
        "s3cr3t",
        "secret",
        "test",
        "toor",
        "your-password",
        "your-secret",
        "xxx",
        "123456",
        "12345678",
        "123456789",
    ]
)


class Secret(NamedTuple):
    """One, and where it is from."""

    #: The key of the configuration, or the file's name in a data folder.
    purpose: str
    file: Path
    value: str
    #: Whom it lets in, if that is said beside it.
    user: str = ""

    def __repr__(self) -> str:
        return f"Secret({self.purpose}, {self.file})"


def secrets(targets: Sequence[Target]) -> Iterator[Finding]:
    """All that these configurations name; one that cannot be read is a problem of the configuration."""
    known = {secret.file: secret for target in targets for secret in secrets_of(target)}
    for secret in known.values():
        yield strength(secret)
    yield from reuse(list(known.values()))


def secrets_of(target: Target) -> Iterator[Secret]:
    """Those that are there; what the server makes at its first start may not be."""
    for path, _ in keys(ROLES[target.role]):
        file = value_at(target.config, path)
        if path.endswith(_ENDINGS) and file and not target.is_wrong(path):
            section = path.rpartition(".")[0]
            user = value_at(target.config, f"{section}.user") if section else ""
            yield from _read(path, Path(file), user or "")
    if target.role == "im":
        for each in sorted(Path(target.config.data_dir, "secrets").glob("*")):
            yield from _read(each.name, each, "")


def _read(purpose: str, file: Path, user: str) -> Iterator[Secret]:
    try:
        yield Secret(purpose, file.resolve(), read_secret(str(file)), user)
    except ValueError:
        # Told where the configuration is judged, or of the folder's modes.
        return


def strength(secret: Secret) -> Finding:
    about = f"{secret.purpose}, {secret.file}"
    do = f"make another: (umask 077; openssl rand -hex 32 > {secret.file}), and tell the server that asks for it"
    lowered = secret.value.lower()
    if lowered in WELL_KNOWN or (secret.user and lowered == secret.user.lower()):
        return STRENGTH.fail(about, "is one that everybody knows", do)
    bits = bits_of(secret.value)
    if bits < ENOUGH_BITS:
        return STRENGTH.warn(about, f"can be guessed in about 2 ** {bits:.0f} tries", do)
    return STRENGTH.ok(about, "nobody guesses it")


def bits_of(value: str) -> float:
    """At most so many bits of chance are in it: as if each character were drawn from those that occur."""
    distinct = len(set(value))
    return len(value) * math.log2(distinct) if distinct > 1 else 0.0


def reuse(secrets: Sequence[Secret]) -> Iterator[Finding]:
    """The same in two files; one file in two keys is meant so."""
    by_value: dict[str, list[Secret]] = {}
    for secret in secrets:
        by_value.setdefault(secret.value, []).append(secret)
    shared = [same for same in by_value.values() if len({each.purpose for each in same} | _users(same)) > 1]
    for same in shared:
        yield REUSE.warn(
            " and ".join(str(each.file) for each in same),
            "hold the same secret",
            "give each its own: (umask 077; openssl rand -hex 32 > FILE)",
        )
    if secrets and not shared:
        yield REUSE.ok(f"{len(secrets)} secrets", "each has one purpose")


def _users(same: Sequence[Secret]) -> set[str]:
    # Copies of one password on several nodes have one purpose and one user.
    users = {each.user for each in same}
    return users if len(users) > 1 else set()
