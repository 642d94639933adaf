"""NATS: reached, logged in to, and each role's account as narrow as etc/nats.conf makes it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from imd.bus import subjects
from imd.bus.port import MAX_PAYLOAD_BYTES
from imd.config.address import is_this_machine
from imd.config.engines import Nats
from imd.ctl.doctor import floors
from imd.ctl.doctor.engine_tls import engine_expiry
from imd.ctl.doctor.finding import Check, Finding
from imd.ctl.doctor.floors import dotted, parsed
from imd.ctl.doctor.nats_jetstream import jetstream
from imd.ctl.doctor.nats_line import CALL_TIMEOUT_S, Line, LoginRefused, line_to, password_of
from imd.ctl.doctor.world import World

REACHED = Check("nats.reached", "nodes do not find each other, and nothing that changes is heard of")
LOGIN = Check("nats.login", "the role does not start")
GUARDED = Check("nats.guarded", "whoever reaches it forges what roles tell each other, or listens")
VERSION = Check("nats.version", "the roles refuse it")
PAYLOAD = Check("nats.max_payload", "large batches between nodes are refused")
WIDE = Check("nats.too_wide", "who breaks into such a node is business and admin as well")
NARROW = Check("nats.too_narrow", "the role cannot tell what it has to tell")
SYNC = Check("nats.sync_interval", "a power cut takes invalidations and settings that were acknowledged")

TIMEOUT_S = 25.0
_HEADER_BYTES = 16 * 1024
_VARZ_BYTES = 4 * 1024 * 1024
_NOBODYS = "imd-doctor"
#: What destroys; of a stream that is not there, so that nothing is destroyed where it is permitted.
_DESTROYS = tuple(
    f"$JS.API.{call}.{_NOBODYS}" for call in ("STREAM.DELETE", "STREAM.PURGE", "STREAM.MSG.DELETE")
)

#: Role -> durable subjects that only others may publish, and one that it must not hear. Of the others are tried those
#: that nobody but a stream subscribes to: a probe must reach nobody.
FORBIDDEN: Mapping[str, tuple[str, ...]] = {
    "im-core": (
        *_DESTROYS,
        f"$JS.API.STREAM.UPDATE.{_NOBODYS}",
        subjects.AUTH_INVALIDATE,
        subjects.AUTH_UPDATE,
        subjects.ADMIN_CONFIG,
    ),
    "im-business": (*_DESTROYS, subjects.ADMIN_CONFIG),
    "im-admin": (*_DESTROYS, subjects.AUTH_INVALIDATE, subjects.HOOK_MESSAGE),
}
UNHEARD: Mapping[str, str] = {
    "im-core": f"_INBOX.business.{_NOBODYS}",
    "im-business": f"_INBOX.core.{_NOBODYS}",
    "im-admin": f"_INBOX.business.{_NOBODYS}",
}
#: Role -> durable subjects that it publishes.
NEEDED: Mapping[str, tuple[str, ...]] = {
    "im-core": (
        subjects.MESSAGE_ACK, subjects.NOTIFICATION_PUSH, subjects.AUDIT_LOG, subjects.HOOK_MESSAGE,
    ),
    "im-business": (
        subjects.AUTH_INVALIDATE, subjects.AUTH_UPDATE, subjects.NOTIFICATION_PUSH, subjects.AUDIT_LOG,
    ),
    "im-admin": (subjects.ADMIN_CONFIG, subjects.AUDIT_LOG),
}  # fmt: skip


def nats(role: str, config: Nats, world: World) -> Iterator[Finding]:
    """Each server of a role, as its account; streams as far as that account may look."""
    looked = False
    for server in config.servers:
        about = f"NATS {urlsplit(server).netloc} as {config.user or 'nobody'}"
        inbox = f"_INBOX.{config.user}.{_NOBODYS}" if config.user else f"_INBOX.{_NOBODYS}"
        try:
            with line_to(server, config, inbox=inbox) as line:
                yield REACHED.ok(about, "answers")
                yield from engine_expiry(about, line.ends, world)
                yield from told(about, line.info, local=is_this_machine(urlsplit(server).hostname or ""))
                try:
                    line.log_in(config.user, password_of(config))
                except LoginRefused as refused:
                    yield LOGIN.fail(about, f"is refused: {refused}",
                                     "check nats.user and nats.password_file against the accounts in nats.conf")  # fmt: skip
                    continue
                yield LOGIN.ok(about, "is let in")
                yield from permissions(about, role, line)
                if not looked:
                    # All servers of a cluster have the same streams.
                    looked = True
                    yield from jetstream(about, config, line, world)
        except (OSError, EOFError, ValueError) as error:
            yield REACHED.fail(
                about, f"no answer: {error}", "start it, or check [nats] servers, ca_file and the firewall"
            )


def told(about: str, info: Mapping[str, Any], *, local: bool) -> Iterator[Finding]:
    """What a server says to everybody (INFO)."""
    found = parsed(str(info.get("version", "")))
    if found < floors.NATS.version:
        yield VERSION.fail(
            about, f"nats-server {dotted(found)}", f"use {floors.NATS} or newer: {floors.NATS.reason}"
        )
    else:
        yield VERSION.ok(about, f"nats-server {dotted(found)}")
    if not info.get("auth_required"):
        report = GUARDED.warn if local else GUARDED.fail
        yield report(
            about,
            "lets in whoever connects",
            "start it with etc/nats.conf, and set nats.user and password_file",
        )
    else:
        yield GUARDED.ok(about, "asks for user and password")
    largest = int(info.get("max_payload", 0))
    if largest < MAX_PAYLOAD_BYTES + _HEADER_BYTES:
        yield PAYLOAD.fail(
            about,
            f"max_payload is {largest:,}",
            f"set max_payload to {MAX_PAYLOAD_BYTES + _HEADER_BYTES} or more (etc/nats.conf)",
        )
    else:
        yield PAYLOAD.ok(about, f"max_payload is {largest:,}")


def permissions(about: str, role: str, line: Line) -> Iterator[Finding]:
    """What the account may do and must not, and the other way round."""
    wide = [f"publish {subject}" for subject in FORBIDDEN[role] if line.may_publish(subject)]
    if line.may_hear(UNHEARD[role]):
        wide.append(f"hear {UNHEARD[role]}")
    if wide:
        yield WIDE.fail(about, f"may {', '.join(wide)}", "give it the permissions of etc/nats.conf")
    else:
        yield WIDE.ok(about, f"may do none of {len(FORBIDDEN[role]) + 1} things that are for others")
    narrow = [subject for subject in NEEDED[role] if not line.may_publish(subject)]
    if narrow:
        yield NARROW.fail(
            about, f"may not publish {', '.join(narrow)}", "give it the permissions of etc/nats.conf"
        )
    else:
        yield NARROW.ok(about, "may publish what it has to")


def monitor(url: str) -> Iterator[Finding]:
    """What only the monitoring port of a server tells: how often JetStream syncs to the disk."""
    about = f"NATS at {url}"
    try:
        if not url.startswith(("http://", "https://")):
            raise ValueError("it is no http or https URL")
        # Straight there: a proxy of the environment is for the world outside.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{url.rstrip('/')}/varz", timeout=CALL_TIMEOUT_S) as answer:
            found = json.loads(answer.read(_VARZ_BYTES))
        config = found["jetstream"]["config"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield SYNC.warn(about, f"cannot be asked: {error}", "give --nats-monitor the URL of its http port, or leave it out",
                        means="it is not known how often JetStream syncs")  # fmt: skip
        return
    yield sync_interval(about, config)


def sync_interval(about: str, config: Mapping[str, Any]) -> Finding:
    """:param config: jetstream.config of /varz."""
    if config.get("sync_always"):
        return SYNC.ok(about, "syncs always")
    seconds = config.get("sync_interval", 0) / 1e9
    return SYNC.warn(
        about,
        f"syncs every {seconds:g} s" if seconds else "syncs every 2 minutes",
        "set sync_interval: always in its jetstream block (etc/nats.conf)",
    )
