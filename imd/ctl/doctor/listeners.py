"""The ports that are open, against those that the configuration opens (docs/ports.rst)."""

from __future__ import annotations

import resource
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from imd.config.address import Address, parse_address
from imd.config.listeners import LISTENERS, listeners_of, value_at
from imd.config.load import variable_of
from imd.ctl.doctor.finding import Check, Finding
from imd.ctl.doctor.folder import is_held, pid_in
from imd.ctl.doctor.sockets import Unreadable, command_of, environ_of, listeners_at, listening
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
#: The role starts without it, and says so in its log.
_OPTIONAL = "metrics.listen"

#: A TCP address, or the path of a unix socket.
Place = Address | str


class Wanted(NamedTuple):
    """A key, and where it has the role listen; port 0 stands for any."""

    path: str
    place: Place


def server(target: Target, *, proc: Path) -> Iterator[Finding]:
    """Ports and limits of the running server, if it runs; and of what is there if it does not."""
    wanted = wanted_of(target, {})
    yield from public(target)
    at = listeners_at(proc, [each.place for each in wanted if isinstance(each.place, Address)])
    pids = servers_of(target, at, proc)
    if not pids:
        yield from taken(target.name, wanted, at, proc)
        yield RUNNING.note(
            target.name,
            "does not run here, or belongs to another user",
            "to have its ports and limits looked at, run this as root or as its user while it runs",
        )
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        yield files(f"{target.name}, started as this was", needed_files(target), hard)
        return
    yield RUNNING.ok(target.name, f"runs as process {', '.join(map(str, sorted(pids)))}")
    for pid in sorted(pids):
        about = f"{target.name}, process {pid}"
        try:
            addresses, paths = listening(proc, pid)
            # What its environment says stands above the file; workers are told apart by it.
            yield from ports(about, wanted_of(target, environ_of(proc, pid)), {*addresses, *paths})
        except Unreadable as error:
            yield RUNNING.note(about, str(error), "run this as root, or as the server's user")
            continue
        limit = limit_of(proc, pid)
        if limit:
            yield files(about, needed_files(target), limit)


def wanted_of(target: Target, environ: Mapping[str, str]) -> list[Wanted]:
    """Where it should listen, with such an environment of its process."""
    found = []
    node_id = environ.get(variable_of("node_id"), str(target.config.node_id))
    for listener in LISTENERS:
        text = value_at(target.config, listener.path)
        if text is None or target.is_wrong(listener.path):
            continue
        text = environ.get(variable_of(listener.path), text)
        if "/" in text:
            found.append(Wanted(listener.path, text.replace("{node_id}", node_id)))
        elif text:
            found.append(Wanted(listener.path, parse_address(text)))
    return found


def servers_of(target: Target, at: Mapping[Address, set[int]], proc: Path) -> set[int]:
    """The processes of this role: whoever holds the data folder, or listens where it should, and is its twistd."""
    if target.role == "im":
        folder = Path(target.config.data_dir)
        pids = {pid_in(folder)} if is_held(folder) else set()
    else:
        pids = {pid for each in at.values() for pid in each}
    return {pid for pid in pids if target.role in command_of(proc, pid).split()}


def public(target: Target) -> Iterator[Finding]:
    """What others can reach in the clear, because the configuration permits it."""
    open_ones = []
    for listener, text in listeners_of(target.config):
        if target.is_wrong(listener.path) or listener.tls:
            continue
        if "/" not in text and parse_address(text).is_public:
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
    held = [each for each in wanted if each.place in at]
    for path, address in held:
        assert isinstance(address, Address)
        pids = ", ".join(f"process {pid} ({command_of(proc, pid)[:80]})" for pid in sorted(at[address]))
        report, means = (TAKEN.warn, "it will have no metrics") if path == _OPTIONAL else (TAKEN.fail, "")
        yield report(
            about,
            f"{path} = {address} is taken by {pids or 'a process of another user'}",
            f"stop that, or give {path} another port",
            means=means,
        )
    if not held:
        yield TAKEN.ok(about, "its ports are free")


def ports(about: str, wanted: Collection[Wanted], open_places: Collection[Place]) -> Iterator[Finding]:
    """What should be open, against what is."""
    missing, more = compared(wanted, open_places)
    for path, place in missing:
        yield PORTS.fail(
            about,
            f"nothing listens on {path} = {place}",
            "restart the server if its file was changed since; else see in its log why the port could not be had",
        )
    for place in more:
        yield PORTS.warn(
            about,
            f"listens on {place}, which its configuration does not name",
            "restart the server if its file was changed since; else find out what opened it (ss -ltnp, ss -lxp)",
        )
    if not missing and not more:
        yield PORTS.ok(about, f"listens on {', '.join(sorted(map(str, open_places)))}, and nowhere else")


def compared(wanted: Collection[Wanted], open_places: Collection[Place]) -> tuple[list[Wanted], list[Place]]:
    """What is not open and should be, and what is and should not."""
    more = sorted(set(open_places) - {each.place for each in wanted}, key=str)
    missing = []
    for each in wanted:
        if each.place in open_places:
            continue
        any_port = [
            place for place in more
            if isinstance(place, Address) and place._replace(port=0) == each.place
        ]  # fmt: skip
        if any_port:
            more.remove(any_port[0])
        else:
            missing.append(each)
    return missing, more


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
