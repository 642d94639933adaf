"""A flood of lines of one kind is cut to some a second; how many there were is told once a minute."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from twisted.logger import LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure

from imd.kernel.token_bucket import TokenBucket

#: What was held back of a kind is told so long after the first of it.
SUMMARY_S = 60.0
#: Kinds that are counted. They are places in programs, so there are far fewer; more of them share one.
MAX_KINDS = 2_000
_MAX_EXAMPLE = 120

#: Of an event: it is written, however many there are of its kind.
ALWAYS = "log_always"
#: Of an event: what makes it one of a kind, where its namespace and format do not say.
KIND = "log_kind"

_UNSAMPLED = (LogLevel.debug, LogLevel.critical)


class _Kind:
    """Lines of one kind: the allowance, and what was held back since when."""

    __slots__ = ("bucket", "example", "held", "level", "namespace", "since_s")

    def __init__(self, bucket: TokenBucket) -> None:
        self.bucket = bucket
        self.held = 0
        self.since_s = 0.0
        self.example = self.namespace = ""
        self.level = LogLevel.info


class Sampling:
    """Judges each line, and makes those that tell of the others.

    :param per_s: lines of one kind a second; 0: all.
    :param seconds: a monotonic clock.
    """

    def __init__(self, per_s: float, *, seconds: Callable[[], float]) -> None:
        self._per_s = per_s
        self._seconds = seconds
        self._kinds: dict[object, _Kind] = {}
        #: Those of which something is held back.
        self._owing: dict[object, _Kind] = {}
        self._next_s = float("inf")
        #: Lines held back, ever.
        self.held_back = 0

    def change(self, per_s: float) -> None:
        """Another allowance from now on."""
        if per_s != self._per_s:
            self._per_s = per_s
            self._kinds.clear()

    def admit(self, event: LogEvent) -> bool:
        """Whether to write it."""
        if self._per_s <= 0 or event.get("log_level") in _UNSAMPLED or event.get(ALWAYS):
            return True
        now_s = self._seconds()
        key = _kind_of(event)
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) >= MAX_KINDS:
                key = None
                kind = self._kinds.get(None)
            if kind is None:
                bucket = TokenBucket(rate_per_s=self._per_s, burst=max(1.0, self._per_s), now_s=now_s)
                kind = self._kinds[key] = _Kind(bucket)
        if kind.bucket.take(now_s):
            return True
        self.held_back += 1
        if not kind.held:
            kind.since_s = now_s
            kind.namespace = event.get("log_namespace", "-")
            kind.level = event.get("log_level") or LogLevel.info
            kind.example = formatEvent(event)[:_MAX_EXAMPLE]
            self._owing[key] = kind
            self._next_s = min(self._next_s, now_s + SUMMARY_S)
        kind.held += 1
        return False

    def summaries(self, *, all_of_them: bool = False) -> Iterator[LogEvent]:
        """Lines that tell what was held back, where it is time to.

        :param all_of_them: at the end of the process.
        """
        now_s = self._seconds()
        if now_s < self._next_s and not all_of_them:
            return
        for key, kind in list(self._owing.items()):
            if all_of_them or now_s - kind.since_s >= SUMMARY_S:
                del self._owing[key]
                yield {
                    "log_namespace": kind.namespace,
                    "log_level": kind.level,
                    "log_format": "{count} more like it in {span} s: {example}",
                    "count": kind.held,
                    "span": max(1, round(now_s - kind.since_s)),
                    "example": kind.example,
                }
                kind.held = 0
        self._next_s = min((each.since_s + SUMMARY_S for each in self._owing.values()), default=float("inf"))


def _kind_of(event: LogEvent) -> object:
    failure = event.get("log_failure")
    return (
        event.get("log_namespace"),
        event.get(KIND) or event.get("log_format"),
        failure.type if isinstance(failure, Failure) else None,
    )
