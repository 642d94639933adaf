"""Redis: reached, logged in to, and set up so that it refuses rather than forgets."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from statistics import median
from typing import Any

import hiredis

from imd.config.address import is_this_machine, parse_host
from imd.config.engines import Redis
from imd.config.secret import read_secret
from imd.ctl.doctor import floors
from imd.ctl.doctor.clocks import Instant, skew
from imd.ctl.doctor.engine_tls import ends_of, engine_expiry
from imd.ctl.doctor.finding import Check, Finding
from imd.ctl.doctor.floors import dotted, parsed
from imd.ctl.doctor.world import World

REACHED = Check("redis.reached", "deliveries go to every node, rates are halved, routes are not known")
LOGIN = Check("redis.login", "to the roles it is as if Redis were down")
GUARDED = Check("redis.guarded", "whoever reaches it reads and forges routes, leases and presence")
VERSION = Check("redis.version", "the roles use what older ones do not have")
EVICTION = Check("redis.eviction", "a full Redis then forgets leases and routes without a word")
PERSISTENCE = Check("redis.persistence", "Redis may refuse writes, or hold up everybody while it saves")
ROLE = Check("redis.role", "a replica refuses every write")
SPEED = Check("redis.speed", "calls run into redis.timeout_ms, and the roles go on without it")

#: Connect, and each answer.
CALL_TIMEOUT_S = 3.0
TIMEOUT_S = 15.0
_PINGS = 15
_READ_BYTES = 65_536
#: INFO is the longest, some KiB; whatever sends more is no Redis.
_ANSWER_BYTES = 1024 * 1024


class Refused(Exception):
    """Redis said no."""


def redis(config: Redis, world: World) -> Iterator[Finding]:
    """Everything that its user may see."""
    about = f"Redis {config.address}"
    try:
        with connected(config) as line:
            yield REACHED.ok(about, "answers")
            yield from engine_expiry(about, line.ends, world)
            yield guarded(about, line.stranger(), local=is_this_machine(parse_host(config.address)[0]))
            try:
                log_in(line, config)
                info = line.info()
            except Refused as refused:
                yield login(about, config, str(refused))
                return
            yield LOGIN.ok(about, f"lets {config.user or 'the default user'} in")
            yield from told(about, info)
            yield speed(about, line.pings(world), config.timeout_ms)
            yield skew(about, line.time(world))
    except (OSError, EOFError, hiredis.ProtocolError) as error:
        yield REACHED.fail(
            about, f"no answer: {error}", "start it, or check [redis] address, ca_file and the firewall"
        )


def login(about: str, config: Redis, said: str) -> Finding:
    return LOGIN.fail(
        about,
        f"refuses {config.user or 'the default user'}: {said}",
        "check redis.user and redis.password_file against requirepass or the ACL of the server",
    )


def guarded(about: str, answer: str, *, local: bool) -> Finding:
    """:param answer: to a command of somebody who has not logged in."""
    if answer.startswith(("NOAUTH", "DENIED", "WRONGPASS")):
        return GUARDED.ok(about, "asks for a password")
    report = GUARDED.warn if local else GUARDED.fail
    return report(about, "serves whoever connects, without a password",
                  "set requirepass there, and redis.password_file here")  # fmt: skip


def told(about: str, info: Mapping[str, str]) -> Iterator[Finding]:
    """What INFO says."""
    yield version(about, info)
    yield eviction(about, info)
    yield persistence(about, info)
    if info.get("role") != "master":
        yield ROLE.fail(
            about, f"is a {info.get('role', 'server of an unknown kind')}", "give the address of the master"
        )
    else:
        yield ROLE.ok(about, "takes writes")


def version(about: str, info: Mapping[str, str]) -> Finding:
    if info.get("server_name") == "valkey" or "valkey_version" in info:
        return VERSION.ok(about, f"Valkey {info.get('valkey_version', '')}")
    found = parsed(info.get("redis_version", ""))
    if found < floors.REDIS.version:
        return VERSION.fail(
            about, f"Redis {dotted(found)}", f"use {floors.REDIS} or newer: {floors.REDIS.reason}"
        )
    if not floors.REDIS_LUA.is_in(found):
        return VERSION.note(
            about,
            f"Redis {dotted(found)}",
            "install the newest package of your distribution, which may have the repair without another number; let "
            "nobody but the roles log in",
            means=f"by its number it has {floors.REDIS_LUA.flaw}",
        )
    return VERSION.ok(about, f"Redis {dotted(found)}")


def eviction(about: str, info: Mapping[str, str]) -> Finding:
    policy = info.get("maxmemory_policy", "")
    if policy != "noeviction":
        return EVICTION.fail(about, f"maxmemory-policy is {policy or 'not known'}",
                             "CONFIG SET maxmemory-policy noeviction, and set it in redis.conf")  # fmt: skip
    if info.get("maxmemory") == "0":
        return EVICTION.note(about, "has no maxmemory", "set maxmemory to what the machine can spare",
                             means="it grows until the kernel ends something")  # fmt: skip
    return EVICTION.ok(about, "refuses writes when it is full")


def persistence(about: str, info: Mapping[str, str]) -> Finding:
    """Nothing in it has to outlive it, so none is needed; one that fails does harm."""
    broken = [
        key
        for key in ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status")
        if info.get(key, "ok") != "ok"
    ]
    if broken:
        return PERSISTENCE.fail(
            about,
            f"{', '.join(broken)}: err",
            'see in its log why it cannot write; imd needs nothing saved: save "" and appendonly no',
            means="it refuses writes by then (stop-writes-on-bgsave-error)",
        )
    if info.get("loading", "0") != "0":
        return PERSISTENCE.warn(about, "is loading what it saved", "wait; imd needs nothing saved")
    return PERSISTENCE.ok(about, "nothing fails there")


def speed(about: str, times_ms: list[float], timeout_ms: float) -> Finding:
    typical = median(times_ms)
    found = f"answers in {typical:.2g} ms, at most {max(times_ms):.2g}"
    if typical > timeout_ms / 2:
        return SPEED.warn(
            about, found, f"bring it nearer, or raise redis.timeout_ms ({timeout_ms:g}) above ten times that"
        )
    return SPEED.ok(about, found)


class Line:
    """A connection that is asked one thing at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.ends = ends_of(sock)
        self._reader = hiredis.Reader(encoding="utf-8", errors="replace")

    def ask(self, *words: str) -> Any:
        """:raises Refused: the server said no."""
        self._socket.sendall(hiredis.pack_command(words))  # type: ignore[arg-type]  # its stub knows one word only
        received = 0
        while (reply := self._reader.gets()) is False:
            data = self._socket.recv(_READ_BYTES)
            received += len(data)
            if not data or received > _ANSWER_BYTES:
                raise EOFError("its answer has no end" if data else "it hung up")
            self._reader.feed(data)
        if isinstance(reply, hiredis.ReplyError):
            raise Refused(str(reply))
        return reply

    def stranger(self) -> str:
        """What somebody hears who has not logged in."""
        try:
            return str(self.ask("PING"))
        except Refused as refused:
            return str(refused)

    def info(self) -> dict[str, str]:
        lines = str(self.ask("INFO")).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def pings(self, world: World) -> list[float]:
        times = []
        for _ in range(_PINGS):
            began_s = world.seconds()
            self.ask("PING")
            times.append((world.seconds() - began_s) * 1000)
        return times

    def time(self, world: World) -> Instant:
        asked_ms = world.wall_clock()
        seconds, micros = self.ask("TIME")
        return Instant(asked_ms, world.wall_clock(), int(seconds) * 1000 + int(micros) / 1000)


@contextmanager
def connected(config: Redis) -> Iterator[Line]:
    """A connection, over TLS if [redis] says so; not logged in."""
    host, port = parse_host(config.address)
    with socket.create_connection((host, port), CALL_TIMEOUT_S) as plain:
        if not config.ca_file:
            yield Line(plain)
            return
        context = ssl.create_default_context(cafile=config.ca_file)
        with context.wrap_socket(plain, server_hostname=host) as secure:
            yield Line(secure)


def log_in(line: Line, config: Redis) -> None:
    """:raises Refused: by the server. ValueError: there is no password to be read."""
    if config.password_file:
        line.ask("AUTH", *([config.user] if config.user else []), read_secret(config.password_file))
    line.ask("SELECT", str(config.database))
