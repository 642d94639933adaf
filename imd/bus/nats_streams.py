"""What of the bus is durable, and how: every JetStream stream and consumer is made from this table."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from imd.bus import subjects
from imd.bus.matching import is_pattern, matcher

_DAY_S = 24 * 3600
_NS = 1_000_000_000
#: An event is given to its handler up to so often, tries or not (a lost connection or a restart costs one,
#: too). After that it is taken to kill the process that handles it, and is put aside unseen.
MAX_DELIVERIES = 20
#: A consumer that nobody reads is deleted by the server once all that it has not read has expired.
#: Nodes that never come back leave nothing; one that comes back within the time goes on where it was.
FORGET_CONSUMERS_S = 7 * _DAY_S
#: Of ``NEWEST_COUNTS`` and ``FADES_AFTER_S`` each life of a process has a consumer of its own, that is soon of no use to
#: anybody; but a process that was cut off for long goes on where it was.
FORGET_LIVES_S = _DAY_S


class Event(NamedTuple):
    """A durable subject and how its handlers are retried (spec 3.5).

    :param tries: how often a handler may fail before the event is a dead letter (MaxDeliver).
    :param ack_wait_s: a process that dies in the middle is noticed after so long.
    :param backoff_s: pauses after the first, second, ... failure; the last one stays.
    """

    subject: str
    tries: int
    ack_wait_s: float
    backoff_s: tuple[float, ...]


class Stream(NamedTuple):
    """A stream: its subjects and how long it keeps their events, read or not.

    :param max_bytes: above it the oldest go. Large enough for a week, small enough that no subject fills
        the disk; it is set aside by the server when the stream is made.
    :param dedupe_s: an event published again within it, with the same id, is recorded once.
    """

    name: str
    events: tuple[Event, ...]
    keep_s: int
    max_bytes: int
    dedupe_s: int

    def config(self, replicas: int) -> dict[str, Any]:
        """As ``$JS.API.STREAM.CREATE`` takes it."""
        return {
            "name": self.name,
            "subjects": [event.subject for event in self.events],
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "max_age": self.keep_s * _NS,
            "max_bytes": self.max_bytes,
            "num_replicas": replicas,
            "duplicate_window": self.dedupe_s * _NS,
        }


# Spec 3.5: exponential for permissions and configuration, linear for acks, fixed for audit.
_EXPONENTIAL = (5.0, 10.0, 20.0, 40.0)
_LINEAR = (5.0, 10.0)
_FIXED = (30.0,)

STREAMS: tuple[Stream, ...] = (
    Stream(
        name="im-critical",
        events=(
            Event(subjects.AUTH_INVALIDATE, tries=5, ack_wait_s=30, backoff_s=_EXPONENTIAL),
            Event(subjects.AUTH_UPDATE, tries=3, ack_wait_s=30, backoff_s=_EXPONENTIAL),
            Event(subjects.ADMIN_CONFIG, tries=5, ack_wait_s=60, backoff_s=_EXPONENTIAL),
            Event(subjects.NOTIFICATION_PUSH, tries=5, ack_wait_s=30, backoff_s=_EXPONENTIAL),
            Event(subjects.AUDIT_LOG, tries=3, ack_wait_s=30, backoff_s=_FIXED),
            Event(subjects.MESSAGE_ACK, tries=3, ack_wait_s=15, backoff_s=_LINEAR),
        ),
        keep_s=7 * _DAY_S,
        max_bytes=1024**3,
        # Spec 3.5; the publisher gives up long before.
        dedupe_s=300,
    ),
    # Apart, so that a flood of messages pushes no invalidation out.
    Stream(
        name="im-hooks",
        events=(Event(subjects.HOOK_MESSAGE, tries=5, ack_wait_s=30, backoff_s=_EXPONENTIAL),),
        keep_s=7 * _DAY_S,
        max_bytes=1024**3,
        dedupe_s=300,
    ),
)

#: Dead letters: ``im.dead.<consumer>.<subject>``. They wait for a person, and people go on holiday.
DEAD_PREFIX = "im.dead"
DEAD_LETTERS = Stream(
    name="im-dead",
    events=(Event(f"{DEAD_PREFIX}.>", tries=1, ack_wait_s=30, backoff_s=_FIXED),),
    keep_s=30 * _DAY_S,
    max_bytes=256 * 1024**2,
    dedupe_s=300,
)


def stream_of(streams: tuple[Stream, ...], pattern: str) -> tuple[Stream, Event]:
    """The stream that holds a subject or pattern, and how its events are retried.

    A pattern over several subjects is as patient as the most patient of them.

    :raises ValueError: no stream does.
    """
    matches = matcher(pattern)
    for stream in streams:
        held = [each for each in stream.events if _covers(each.subject, pattern) or matches(each.subject)]
        if held:
            return stream, max(held, key=lambda event: (event.tries, event.ack_wait_s))
    raise ValueError(f"{pattern} is in no stream; declare it in imd.bus.nats_streams")


def _covers(held: str, pattern: str) -> bool:
    """Whether all of the pattern lies in what a stream holds."""
    if not is_pattern(held):
        return held == pattern
    # The wildcards of the pattern stand for something that no wildcard of ours excludes.
    return matcher(held)(pattern)


def consumer_name(name: str, pattern: str, *, life: str = "") -> str:
    """The durable name of a consumer: NATS allows neither dots nor wildcards there.

    :param life: of the process; part of the name where a consumer begins anew with each.
    :raises ValueError: the name itself has one.
    """
    if not name.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"not a name for a consumer: {name!r}")
    if pattern in subjects.NEWEST_COUNTS or pattern in subjects.FADES_AFTER_S:
        name = f"{name}-{life}"
    return "_".join((name, *pattern.replace("*", "ANY").replace(">", "ALL").split(".")))


def consumer_config(name: str, pattern: str, event: Event, *, born_ms: int) -> dict[str, Any]:
    """As ``$JS.API.CONSUMER.CREATE`` takes it.

    One event in flight: the server reorders on redelivery otherwise. It never gives up by itself: it
    would without a trace, where the consumer makes a dead letter after ``tries``.

    :param born_ms: when this life of the process began; the same in all of it, or the server would refuse to have
        the consumer again.
    """
    fades_after_s = subjects.FADES_AFTER_S.get(pattern)
    if pattern in subjects.NEWEST_COUNTS:
        begin: dict[str, Any] = {"deliver_policy": "last_per_subject"}
    elif fades_after_s is not None:
        since = datetime.fromtimestamp(born_ms / 1000 - fades_after_s, UTC)
        begin = {"deliver_policy": "by_start_time", "opt_start_time": since.isoformat(timespec="seconds")}
    else:
        begin = {"deliver_policy": "all"}
    anew = begin["deliver_policy"] != "all"
    return begin | {
        "name": name,
        "durable_name": name,
        "filter_subject": pattern,
        "replay_policy": "instant",
        "ack_policy": "explicit",
        "ack_wait": int(event.ack_wait_s * _NS),
        "max_deliver": -1,
        "max_ack_pending": 1,
        "inactive_threshold": (FORGET_LIVES_S if anew else FORGET_CONSUMERS_S) * _NS,
    }
