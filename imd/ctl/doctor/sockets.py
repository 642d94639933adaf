"""Which process listens where, as Linux tells it in /proc."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from imd.config.address import Address

_LISTEN = "0A"
_SOCKET = re.compile(r"socket:\[(\d+)\]\Z")
#: SO_ACCEPTCON, in the flags of /proc/net/unix.
_ACCEPTS = 0x10000


class Unreadable(Exception):
    """The files of this process are another user's, or there is no /proc."""


def listening(proc: Path, pid: int) -> tuple[set[Address], set[str]]:
    """TCP addresses and paths of unix sockets ("@..." abstract) on which a process accepts connections.

    :raises Unreadable: it cannot be said.
    """
    inodes = _inodes_of(proc, pid)
    addresses = {
        address for inode, address in _tcp(proc / str(pid)) if inode in inodes
    }  # fmt: skip
    paths = {path for inode, path in _unix(proc / str(pid)) if inode in inodes}
    return addresses, paths


def listeners_at(proc: Path, addresses: Iterable[Address]) -> Mapping[Address, set[int]]:
    """Who listens on these addresses, or on all of the machine's with that port; processes of others are not seen,
    and an address on which one of them listens has none here."""
    held = list(_tcp(proc / "self"))
    wanted = {each: {inode for inode, address in held if _covers(address, each)} for each in addresses}
    found: dict[Address, set[int]] = {each: set() for each, inodes in wanted.items() if inodes}
    if found:
        for pid in _pids(proc):
            try:
                inodes = _inodes_of(proc, pid)
            except Unreadable:
                continue
            for each, pids in found.items():
                if wanted[each] & inodes:
                    pids.add(pid)
    return found


def command_of(proc: Path, pid: int) -> str:
    """What was typed to start it, cut; empty if that cannot be read."""
    try:
        return (
            (proc / str(pid) / "cmdline")
            .read_bytes()[:400]
            .replace(b"\0", b" ")
            .decode("utf-8", "replace")
            .strip()
        )
    except OSError:
        return ""


def environ_of(proc: Path, pid: int) -> dict[str, str]:
    """With what a process was started.

    :raises Unreadable: it is another user's.
    """
    try:
        lines = (proc / str(pid) / "environ").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError as error:
        raise Unreadable(f"/proc/{pid}/environ: {error.strerror}") from None
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _covers(listened: Address, wanted: Address) -> bool:
    return listened.port == wanted.port and listened.host in (wanted.host, "0.0.0.0", "::")  # noqa: S104 - compared only


def _pids(proc: Path) -> Iterator[int]:
    try:
        yield from (int(each.name) for each in proc.iterdir() if each.name.isdigit())
    except OSError:
        return


def _inodes_of(proc: Path, pid: int) -> set[int]:
    try:
        links = [str(each.readlink()) for each in _links(proc / str(pid) / "fd")]
    except OSError as error:
        raise Unreadable(f"/proc/{pid}/fd: {error.strerror}") from None
    return {int(found[1]) for link in links if (found := _SOCKET.match(link))}


def _links(folder: Path) -> Iterator[Path]:
    for each in folder.iterdir():
        # One that was closed meanwhile is none.
        if each.is_symlink():
            yield each


def _tcp(process: Path) -> Iterator[tuple[int, Address]]:
    for name in ("tcp", "tcp6"):
        for line in _lines(process / "net" / name):
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTEN:
                yield int(fields[9]), _address(fields[1])


def _unix(process: Path) -> Iterator[tuple[int, str]]:
    for line in _lines(process / "net" / "unix"):
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and int(fields[3], 16) & _ACCEPTS:
            yield int(fields[6]), fields[7].strip()


def _lines(file: Path) -> Iterator[str]:
    try:
        with file.open(encoding="ascii", errors="replace") as opened:
            next(opened, "")
            yield from opened
    except OSError:
        return


def _address(text: str) -> Address:
    """From ``0100007F:1E14``: words of four bytes, each as the machine has it."""
    host, _, port = text.partition(":")
    raw = bytes.fromhex(host)
    words = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    address = IPv4Address(words) if len(words) == 4 else IPv6Address(words)
    return Address(str(address), int(port, 16))
