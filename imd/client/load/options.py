"""The command line of ``tools/bench``, checked."""

from __future__ import annotations

import argparse
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from imd.kernel.errors import StartupError

#: Connections by default, and the most that are allowed.
DEFAULT_CONNECTIONS: Final = {
    "p2p": 100,
    "one-conversation": 10,
    "group": 1000,
    "idle": 10_000,
    "reconnect": 2000,
}
MOST_CONNECTIONS: Final = 200_000
MOST_SECONDS: Final = 3600.0
#: A pair or a group of ten need little; a large group amplifies every message by its size.
_DEFAULT_WINDOW: Final = {"p2p": 16, "one-conversation": 64, "group": 16, "idle": 1, "reconnect": 16}
_DEFAULT_RATE: Final = {"reconnect": 500.0}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to do."""

    scenario: str
    connections: int
    seconds: float
    rate_per_s: float
    window: int
    senders: int
    text_bytes: int
    workers: int
    kills: int
    jitter_s: float
    settle_s: float
    #: The nodes of a running server; none: one of its own is started.
    servers: tuple[tuple[str, int], ...]
    rest: tuple[str, int]
    tokens: Path | None
    server_pids: tuple[int, ...]
    settings: tuple[tuple[str, str], ...]
    #: More of them, for every other run; none: there is one run.
    against: tuple[tuple[str, str], ...]
    rounds: int
    json: bool


def loopback(url: str, *, default_port: int) -> tuple[str, int]:
    """Host and port of ``[scheme://]host:port``.

    :raises StartupError: anything but this very machine: a load generator aimed elsewhere is a weapon.
    """
    parts = urlsplit(url if "://" in url else f"//{url}")
    host = parts.hostname or ""
    host = "127.0.0.1" if host == "localhost" else host
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
        port = parts.port or default_port
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise StartupError(f"{url!r} is not a loopback address; tools/bench loads this machine only")
    return host, port


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="tools/bench",
        description="Loads a server on this machine and counts what clients saw. "
        "Exit code 1 when a stored message was lost, doubled or reordered.",
        epilog="tools/bench permission measures what a permission check costs; see tools/bench permission --help.",
    )
    add = made.add_argument
    add("scenario", choices=sorted(DEFAULT_CONNECTIONS))
    _add_target(made)
    add("--connections", type=int, metavar="N")
    add("--seconds", type=float, default=10.0, metavar="S", help="of full load (default 10)")
    add("--rate", type=float, metavar="R", help="messages/s in total (default: as fast as the windows allow)")
    add("--window", type=int, metavar="N", help="unacknowledged messages a sender")
    add("--senders", type=int, default=4, metavar="N", help="one-conversation: 1 to 4 (default 4)")
    add("--bytes", type=int, default=32, metavar="N", help="of text in a message (default 32)")
    add("--workers", type=int, default=1, metavar="N", help="load processes (default 1)")
    add("--kills", type=int, metavar="N", help="kill -9 and restart the own server N times under load")
    add(
        "--jitter",
        type=float,
        metavar="S",
        help="come back within this after a cut (default 1; reconnect: 5)",
    )
    add("--settle", type=float, default=35.0, metavar="S", help="wait so long for stragglers (default 35)")
    add(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="configuration of the own server (TOML value)",
    )
    _add_comparison(made)
    add("--json", action="store_true", help="print one JSON object")
    return made


def _add_target(made: argparse.ArgumentParser) -> None:
    """Which server to load, if not one of our own."""
    add = made.add_argument
    add(
        "--url",
        action="append",
        metavar="HOST:PORT",
        help="a running server's TCP address, once for each of its nodes; without it one is started",
    )
    add("--http", metavar="HOST:PORT", default="127.0.0.1:7780", help="with --url: its REST address")
    add(
        "--tokens",
        type=Path,
        metavar="FILE",
        help="with --url: people to be, instead of registering new ones",
    )
    add(
        "--server-pid",
        type=int,
        action="append",
        default=[],
        metavar="PID",
        help="with --url: measure this process; may be given several times",
    )


def _add_comparison(made: argparse.ArgumentParser) -> None:
    """What to compare the server with."""
    add = made.add_argument
    add(
        "--against",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="run by turns without and with this, too, and compare what a message costs; the ratios are told with the range they are in with 95 %% confidence",
    )
    add(
        "--rounds",
        type=int,
        default=6,
        metavar="N",
        help="of --against (default 6, the fewest that give such a range)",
    )


def parse(arguments: Sequence[str]) -> Options:
    """The options, or SystemExit 2 with a message.

    :raises StartupError: they make no sense together, or aim at another machine.
    """
    given = parser().parse_args(arguments)
    scenario: str = given.scenario
    connections = given.connections or DEFAULT_CONNECTIONS[scenario]
    own = given.url is None
    kills = given.kills if given.kills is not None else int(scenario == "reconnect" and own)
    _check_bounds(given, scenario, connections)
    if kills and not own:
        raise StartupError("--kills needs the own server; leave out --url")
    if given.against and not own:
        raise StartupError("--against needs servers of its own; leave out --url")
    if scenario in ("p2p", "reconnect"):
        connections += connections % 2
    rate = given.rate if given.rate is not None else _DEFAULT_RATE.get(scenario, 0.0)
    return Options(
        scenario=scenario,
        connections=connections,
        seconds=given.seconds,
        rate_per_s=rate,
        window=given.window or _DEFAULT_WINDOW[scenario],
        senders=1 if scenario == "group" else min(given.senders, connections),
        text_bytes=given.bytes,
        workers=min(given.workers, connections // 2 or 1),
        kills=kills,
        jitter_s=given.jitter if given.jitter is not None else (5.0 if scenario == "reconnect" else 1.0),
        settle_s=given.settle,
        servers=() if own else tuple(loopback(url, default_port=7700) for url in given.url),
        rest=loopback(given.http, default_port=7780),
        tokens=given.tokens,
        server_pids=tuple(given.server_pid),
        settings=tuple(_setting("--set", text) for text in given.set),
        against=tuple(_setting("--against", text) for text in given.against),
        rounds=given.rounds,
        json=given.json,
    )


def _setting(option: str, text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or "\n" in text:
        raise StartupError(f"{option} {text!r}: write it as section.key=value")
    return name.strip(), value.strip()


def _check_bounds(given: argparse.Namespace, scenario: str, connections: int) -> None:
    bounds = (
        ("--connections", connections, 2, MOST_CONNECTIONS),
        ("--seconds", given.seconds, 0.1, MOST_SECONDS),
        ("--rate", given.rate or 0, 0, 1e6),
        ("--window", given.window or 1, 1, 10_000),
        ("--senders", given.senders, 1, 4),
        ("--bytes", given.bytes, 1, 32 * 1024),
        ("--workers", given.workers, 1, 4 * (os.cpu_count() or 1)),
        ("--kills", given.kills or 0, 0, 100),
        ("--jitter", given.jitter or 0, 0, 60),
        ("--settle", given.settle, 0, 600),
        ("--rounds", given.rounds, 1, 100),
    )
    for name, value, least, most in bounds:
        if not least <= value <= most:
            raise StartupError(f"{name} must be {least} to {most}, not {value}")
    if scenario == "reconnect" and given.rate == 0:
        raise StartupError("reconnect needs a --rate: without traffic nothing could be missed")
