"""[manhole]: a prompt inside of the running process."""

from __future__ import annotations

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
    """Who may come: public keys, a line each, as in OpenSSH's authorized_keys. Nobody but its owner may write it.
    Read at each login."""
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
        found = Path(file).stat()
    except OSError as error:
        return f"cannot read {file}: {error.strerror}"
    if not stat.S_ISREG(found.st_mode):
        return f"{file} is no file"
    if stat.S_IMODE(found.st_mode) & 0o022:
        return f"{file} can be written by others (mode {stat.S_IMODE(found.st_mode):04o}): chmod 0600 {file}"
    if found.st_size > MAX_KEYS_BYTES:
        return f"{file} is longer than {MAX_KEYS_BYTES} bytes"
    return ""


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
