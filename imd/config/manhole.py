"""[manhole]: a prompt inside of the running process."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from imd.config.address import parse_address
from imd.config.conflict import Conflict
from imd.config.section import Section

#: A unix socket's path in the kernel, with its end.
_MAX_PATH_BYTES = 107
_EXPECTED = "a path for a unix socket, or 127.0.0.1:PORT or [::1]:PORT"
#: A file with a hundred keys has a tenth of this.
MAX_KEYS_BYTES = 256 * 1024


class Manhole(Section, frozen=True):
    """A Python prompt inside of the running process, over SSH: for operators who may do anything to it
    (docs/manhole.rst)."""

    listen: str = ""
    """A path for a unix socket ({node_id} in it stands for this node's), or 127.0.0.1:PORT; nothing that others can
    reach is taken. Empty: off."""
    authorized_keys_file: str = ""
    """Who may come: public keys, a line each, as in OpenSSH's authorized_keys. Nobody but root and the
    server's user may be able to write it, or to put another in its place. Read at each login."""
    host_key_file: str = "manhole_host_key"
    """The server's own key, by which clients know it; made at first start, mode 0600."""
    idle_timeout_s: float = 600.0
    """A session in which nothing was typed for so long ends."""
    max_sessions: int = 4
    """So many operators may be in at a time."""


def manhole_path(listen: str, node_id: int) -> str:
    """The unix socket that ``listen`` names; "" if it is no path."""
    return listen.replace("{node_id}", str(node_id)) if "/" in listen else ""


def of_manhole(manhole: Manhole, *, node_id: int, shares_ports: bool) -> Iterator[Conflict]:
    """What types and bounds cannot say. Looks at the file of keys.

    :param shares_ports: other nodes have the same configuration.
    """
    if not manhole.listen:
        return
    if path := manhole_path(manhole.listen, node_id):
        if len(path.encode()) > _MAX_PATH_BYTES:
            yield Conflict("manhole.listen", f"{path} is longer than {_MAX_PATH_BYTES} bytes")
        if shares_ports and "{node_id}" not in manhole.listen:
            yield Conflict(
                "manhole.listen",
                "would be the same for all workers; put {node_id} into it",
                ("listen.reuse_port",),
            )
    else:
        yield from _port(manhole.listen, shares_ports=shares_ports)
    if not manhole.host_key_file.strip():
        yield Conflict("manhole.host_key_file", "is empty; expected a file, made at first start")
    if not manhole.authorized_keys_file:
        yield Conflict(
            "manhole.authorized_keys_file",
            "is empty; expected a file with the public keys of who may come, such as ~/.ssh/id_ed25519.pub of theirs",
            ("manhole.listen",),
        )
    elif problem := keys_problem(manhole.authorized_keys_file):
        yield Conflict("manhole.authorized_keys_file", problem)


def keys_problem(file: str) -> str:
    """Why nobody can be let in by this file; "" if there is no reason."""
    try:
        own_file(file, others=0o022, max_bytes=MAX_KEYS_BYTES)
    except ValueError as error:
        return str(error)
    return ""


def own_file(file: str, *, others: int, max_bytes: int) -> bytes:
    """What is in a file that nobody but root and this process's user can have written, as sshd asks of its own.

    It is opened once and not by a link, and what is opened is looked at: neither the file nor its folder may be
    somebody else's, or be such that others can write it. A folder as /tmp is, where nobody can take away what is
    another's, will do.

    :param others: the bits that its mode must not have.
    :raises ValueError: says what is wrong, and what to do.
    """
    path = Path(file).absolute()
    try:
        above = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _require_own(os.fstat(above), str(path.parent), others=0o022, chmod="go-w")
            # Not blocking, for it may be a pipe.
            how = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            opened = os.open(path.name or ".", how, dir_fd=above)
        finally:
            os.close(above)
        try:
            found = os.fstat(opened)
            if not stat.S_ISREG(found.st_mode):
                raise ValueError(f"{file} is no file")
            _require_own(found, file, others=others, chmod="0600")
            with os.fdopen(opened, "rb", closefd=False) as reader:
                content = reader.read(max_bytes + 1)
        finally:
            os.close(opened)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError(f"{file} is a link: name the file itself") from None
        raise ValueError(f"cannot read {file}: {error.strerror}") from None
    if len(content) > max_bytes:
        raise ValueError(f"{file} is longer than {max_bytes} bytes")
    return content


def _require_own(found: os.stat_result, path: str, *, others: int, chmod: str) -> None:
    me, mode = os.geteuid(), stat.S_IMODE(found.st_mode)
    if found.st_uid not in (0, me):
        raise ValueError(f"{path} belongs to user {found.st_uid}, not to root or {me}: chown {me} {path}")
    is_shared_folder = stat.S_ISDIR(found.st_mode) and mode & stat.S_ISVTX
    if mode & others and not is_shared_folder:
        how = "written" if others == 0o022 else "read or written"
        raise ValueError(f"{path} can be {how} by others (mode {mode:04o}): chmod {chmod} {path}")


def _port(listen: str, *, shares_ports: bool) -> Iterator[Conflict]:
    try:
        address = parse_address(listen)
    except ValueError as error:
        yield Conflict("manhole.listen", f"{error}; expected {_EXPECTED}")
        return
    if address.is_public:
        yield Conflict(
            "manhole.listen",
            f"{address} can be reached by others, and whoever is in may do anything; expected {_EXPECTED}",
        )
    elif shares_ports:
        yield Conflict(
            "manhole.listen",
            "workers cannot share a port here; expected a path with {node_id} in it",
            ("listen.reuse_port",),
        )
