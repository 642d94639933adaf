"""JetStream: streams and consumers as imd.bus.nats_streams declares them, and what waits in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from imd.bus.nats_streams import DEAD_LETTERS, STREAMS, Stream
from imd.config.engines import Nats
from imd.ctl.doctor.clocks import Instant, skew
from imd.ctl.doctor.finding import Check, Finding
from imd.ctl.doctor.nats_line import Line
from imd.ctl.doctor.world import World

ENABLED = Check("nats.jetstream", "no role starts without it")
DECLARED = Check("nats.streams", "events may be lost, refused, or kept for less than a week")
REPLICAS = Check("nats.replicas", "with the server that has the only copy its events are gone")
CONSUMERS = Check(
    "nats.consumers", "events come twice at once, out of order, or are given up without a trace"
)
BACKLOG = Check("nats.backlog", "what changed is not in force yet where it waits")
DEAD = Check("nats.dead_letters", "each is an event whose handler failed every time: somebody has to look")
ROOM = Check("nats.room", "when it is full, events are refused")

_NO_SUCH_STREAM = 10059
#: Events that nobody has read; a burst is read within seconds.
_BACKLOG = 10_000
_FULL_SHARE = 0.8
#: A page of $JS.API.CONSUMER.LIST; and so many of them.
_PAGE, _PAGES = 256, 20
_UNLIMITED = -1


def jetstream(about: str, config: Nats, line: Line, world: World) -> Iterator[Finding]:
    """As far as this account may look: in etc/nats.conf that is admin's."""
    if not line.info.get("jetstream"):
        yield ENABLED.fail(about, "has no JetStream", "add the jetstream block of etc/nats.conf")
        return
    asked_ms = world.wall_clock()
    answer = line.ask("$JS.API.STREAM.INFO." + DEAD_LETTERS.name)
    answered_ms = world.wall_clock()
    if answer is None:
        yield DECLARED.note(
            about, "may not look at streams", "give the file of im-admin as well (--config): its account may",
            means="streams and consumers were not looked at with it",
        )  # fmt: skip
        return
    if "ts" in answer:
        said_ms = datetime.fromisoformat(answer["ts"]).timestamp() * 1000
        yield skew(about, Instant(asked_ms, answered_ms, said_ms))
    yield from account(about, line.ask("$JS.API.INFO") or {})
    found = {stream.name: line.ask(f"$JS.API.STREAM.INFO.{stream.name}") or {} for stream in _all()}
    yield from streams(about, found, config.replicas)
    yield replicas(about, config.replicas, servers=_servers(line.info))
    for stream in STREAMS:
        yield from consumers(f"{about}, {stream.name}", _consumers(line, stream.name))


def account(about: str, info: Mapping[str, Any]) -> Iterator[Finding]:
    """What JetStream says of this account."""
    if "error" in info or not info:
        yield ENABLED.fail(about, f"has no JetStream: {info.get('error', {}).get('description', 'no answer')}",
                           "jetstream: enabled in its account (etc/nats.conf)")  # fmt: skip
        return
    yield ENABLED.ok(about, "has JetStream")
    used, limit = int(info.get("storage", 0)), int(info.get("limits", {}).get("max_storage", _UNLIMITED))
    reserved = max(used, int(info.get("reserved_storage", 0)))
    if limit > 0 and used > _FULL_SHARE * limit:
        yield ROOM.warn(
            about, f"{used / limit:.0%} of its storage is used", "raise max_file_store, or free the disk"
        )
    else:
        yield ROOM.ok(about, f"uses {used // 1024**2:,} MiB of {reserved // 1024**2:,} that are set aside")


def streams(about: str, found: Mapping[str, Mapping[str, Any]], copies: int) -> Iterator[Finding]:
    """Each against its declaration.

    :param found: by name, what STREAM.INFO answers.
    """
    missing = [name for name, info in found.items() if _is_missing(info)]
    if len(missing) == len(found):
        yield DECLARED.note(
            about, "has no streams yet", "nothing: the first role that starts makes them", means="it is new"
        )
        return
    for name in missing:
        yield DECLARED.warn(about, f"has no stream {name}", "restart a role, which makes it; see why it went")
    wrong = False
    for stream in _all():
        info = found[stream.name]
        if "config" not in info:
            continue
        for finding in _stream(about, stream, info, copies):
            wrong = True
            yield finding
    if not missing and not wrong:
        yield DECLARED.ok(about, f"{len(found)} streams as declared")
    yield dead_letters(about, int(found[DEAD_LETTERS.name].get("state", {}).get("messages", 0)))


def _stream(about: str, stream: Stream, info: Mapping[str, Any], copies: int) -> Iterator[Finding]:
    is_in = info["config"]
    for key, wanted in stream.config(copies).items():
        have = is_in.get(key)
        same = set(have or ()) == set(wanted) if key == "subjects" else have == wanted
        if not same:
            report = DECLARED.fail if key in ("storage", "subjects", "retention") else DECLARED.warn
            yield report(
                about,
                f"{stream.name}: {key} is {have!r}, declared is {wanted!r}",
                "restart an im-business or im-admin, which updates it; storage and retention cannot be changed: make "
                f"the stream anew (nats stream rm {stream.name}, with the roles stopped)",
            )
    behind = [
        str(each.get("name")) for each in info.get("cluster", {}).get("replicas", ())
        if each.get("offline") or not each.get("current")
    ]  # fmt: skip
    if behind:
        yield REPLICAS.warn(about, f"{stream.name}: {', '.join(behind)} is behind or gone", "start that server",
                            means="one more that fails, and the stream takes nothing")  # fmt: skip


def replicas(about: str, copies: int, *, servers: int) -> Finding:
    """Copies of each event, against how many servers there are to hold them."""
    found = f"nats.replicas is {copies}, servers: {servers}"
    if servers >= 3 > copies:
        return REPLICAS.warn(about, found, "set nats.replicas = 3 for all roles")
    if copies > servers:
        return REPLICAS.fail(about, found, "start more servers, or lower nats.replicas for all roles",
                             means="streams cannot be made")  # fmt: skip
    return REPLICAS.ok(about, found)


def consumers(about: str, found: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Ours never give up by themselves: imd makes a dead letter after so many tries, the server would say nothing."""
    wrong = late = False
    for each in found:
        config = each["config"]
        differs = [
            f"{key} is {config.get(key)}, not {wanted}"
            for key, wanted in (
                ("max_deliver", _UNLIMITED),
                ("ack_policy", "explicit"),
                ("max_ack_pending", 1),
            )
            if config.get(key) != wanted
        ]
        if differs:
            wrong = True
            yield CONSUMERS.warn(
                about,
                f"{each['name']}: {'; '.join(differs)}",
                "delete it (nats consumer rm) and restart the role that it is of; if it is nobody's, delete it",
            )
        waiting = int(each.get("num_pending", 0))
        if waiting > _BACKLOG:
            late = True
            yield BACKLOG.warn(about, f"{waiting:,} events wait for {each['name']}",
                               "see whether its role runs, and in its log what takes so long")  # fmt: skip
    if not wrong:
        yield CONSUMERS.ok(about, f"{len(found)} consumers as declared")
    if not late:
        yield BACKLOG.ok(about, "nothing waits for long")


def dead_letters(about: str, count: int) -> Finding:
    if count:
        return DEAD.warn(about, f"{count:,} events are in {DEAD_LETTERS.name}",
                         f"look at them (nats stream view {DEAD_LETTERS.name}), mend the cause, then purge them")  # fmt: skip
    return DEAD.ok(about, "there are none")


def _all() -> tuple[Stream, ...]:
    return (*STREAMS, DEAD_LETTERS)


def _is_missing(info: Mapping[str, Any]) -> bool:
    return bool(info.get("error", {}).get("err_code") == _NO_SUCH_STREAM)


def _servers(info: Mapping[str, Any]) -> int:
    """How many there are in the cluster, as one of them tells its clients."""
    return max(1, len(info.get("connect_urls", ())))


def _consumers(line: Line, stream: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for _ in range(_PAGES):
        answer = line.ask(f"$JS.API.CONSUMER.LIST.{stream}", {"offset": len(found)})
        page = (answer or {}).get("consumers") or []
        found += page
        if len(page) < _PAGE:
            break
    return found
