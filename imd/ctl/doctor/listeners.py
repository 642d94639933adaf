"""The ports that are open, against those that the configuration opens (docs/ports.rst)."""

from __future__ import annotations

import resource
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from imd.config.address import Address, parse_address
from imd.config.listeners import listeners_of
from imd.ctl.doctor.finding import Check, Finding
from imd.ctl.doctor.folder import is_held, pid_in
from imd.ctl.doctor.sockets import Unreadable, command_of, listeners_at, listening
from imd.ctl.doctor.targets import Target

RUNNING = Check("server.running", "what only shows while it runs was not looked at")
PORTS = Check("ports.documented", "something is open that nobody expects, or closed that somebody needs")
TAKEN = Check("ports.taken", "the role does not start while another program has its port")
PUBLIC = Check("ports.public", "whoever can reach this machine reads passwords and messages on their way")
FILES = Check(
    "limits.open_files",
    "each connection is an open file: at the limit clients are turned away, and databases fail",
)

#: Databases, engines, the log, and connections that are not let in.
SPARE_FILES = 500
#: The commands of twistd; anything else on a port of ours is another program.
_OURS = ("im", "im-core", "im-business", "im-admin")


class Wanted(NamedTuple):
    """A key, and the address there."""

    path: str
    address: Address


def server(target: Target, *, proc: Path) -> Iterator[Finding]:
    """Ports and limits of the running server, if it runs; and of what is there if it does not."""
    wanted = wanted_of(target)
    yield from public(target)
    at = listeners_at(proc, [each.address for each in wanted])
    pids = servers_of(target, at, proc)
    if not pids:
        yield from taken(target.name, wanted, at, proc)
        yield RUNNING.note(target.name, "does not run here, or belongs to another user",
                           "to have its ports and limits looked at, run this as root or as its user while it runs")  # fmt: skip
        yield files(target.name, needed_files(target), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        return
    yield RUNNING.ok(target.name, f"runs as process {', '.join(map(str, sorted(pids)))}")
    for pid in sorted(pids):
        about = f"{target.name}, process {pid}"
        try:
            addresses, paths = listening(proc, pid)
        except Unreadable as error:
            yield RUNNING.note(about, str(error), "run this as root, or as the server's user")
            continue
        yield from ports(about, wanted, addresses, paths)
        limit = limit_of(proc, pid)
        if limit:
            yield files(about, needed_files(target), limit)


def wanted_of(target: Target) -> list[Wanted]:
    """Where it should listen; ports that the system chooses are not known."""
    found = []
    for listener, text in listeners_of(target.config):
        if listener.path not in target.examined.broken:
            address = parse_address(text)
            if address.port:
                found.append(Wanted(listener.path, address))
    return found


def servers_of(target: Target, at: Mapping[Address, set[int]], proc: Path) -> set[int]:
    """The processes of this role: whoever holds the data folder, or listens where it should and is a twistd."""
    if target.role == "im":
        folder = Path(target.config.data_dir)
        pid = pid_in(folder)
        return {pid} if pid and is_held(folder) and (proc / str(pid)).exists() else set()
    pids = {pid for each in at.values() for pid in each}
    return {pid for pid in pids if target.role in command_of(proc, pid).split()}


def public(target: Target) -> Iterator[Finding]:
    """What others can reach in the clear, because the configuration permits it."""
    open_ones = []
    for listener, text in listeners_of(target.config):
        if listener.path in target.examined.broken or listener.tls:
            continue
        if parse_address(text).is_public:
            open_ones.append(f"{listener.path} = {text}")
    if open_ones:
        yield PUBLIC.note(
            target.name,
            f"{', '.join(open_ones)}: in the clear, which the configuration permits",
            "see that a proxy in front adds TLS, and that a firewall lets nobody else come to these ports",
        )
    else:
        yield PUBLIC.ok(target.name, "nothing is in the clear beyond this machine")


def taken(
    about: str, wanted: Collection[Wanted], at: Mapping[Address, set[int]], proc: Path
) -> Iterator[Finding]:
    """Ports of a server that does not run, on which somebody listens."""
    held = [each for each in wanted if each.address in at]
    for each in held:
        pids = ", ".join(f"process {pid} ({command_of(proc, pid)[:80]})" for pid in sorted(at[each.address]))
        yield TAKEN.fail(
            about,
            f"{each.path} = {each.address} is taken by {pids or 'a process of another user'}",
            f"stop that, or give {each.path} another port",
        )
    if not held:
        yield TAKEN.ok(about, "its ports are free")


def ports(
    about: str, wanted: Collection[Wanted], addresses: Collection[Address], paths: Collection[str]
) -> Iterator[Finding]:
    """:param addresses: on which the server listens; ``paths``: unix sockets."""
    expected = {each.address for each in wanted}
    missing = [each for each in wanted if each.address not in addresses]
    more = sorted(address for address in addresses if address not in expected)
    for each in missing:
        yield PORTS.fail(
            about,
            f"nothing listens on {each.path} = {each.address}",
            "restart the server if its file was changed since; else see in its log why the port could not be had",
        )
    for what in [*map(str, more), *sorted(paths)]:
        yield PORTS.warn(
            about,
            f"listens on {what}, which its configuration does not name",
            "restart the server if its file was changed since; else find out what opened it (ss -ltnp)",
        )
    if not missing and not more and not paths:
        yield PORTS.ok(about, f"listens on {', '.join(map(str, sorted(expected)))}, and nowhere else")


def needed_files(target: Target) -> int:
    """How many the role may have open at once."""
    gateway = target.section("gateway")
    return int(getattr(gateway, "max_connections", 0)) + SPARE_FILES


def files(about: str, needed: int, limit: int) -> Finding:
    """:param limit: of open files; negative: none."""
    found = f"{'unlimited' if limit < 0 else f'{limit:,}'} open files, of which it may need {needed:,}"
    if 0 <= limit < needed:
        return FILES.warn(
            about, found, f"set LimitNOFILE={2 * needed} in its systemd unit (or ulimit -n), or lower gateway.max_connections"
        )  # fmt: skip
    return FILES.ok(about, found)


def limit_of(proc: Path, pid: int) -> int:
    """The soft limit of open files of a process; 0 if it cannot be read."""
    try:
        lines = (proc / str(pid) / "limits").read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        if line.startswith("Max open files"):
            soft = line.split()[3]
            return -1 if soft == "unlimited" else int(soft)
    return 0
