"""Who came, who was refused, and every line that was typed: in the log, and where the role keeps such things."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, globalLogPublisher
from zope.interface import implementer

from imd.bus.audit import DONE, HIGH, REFUSED, AuditEntry
from imd.ops.logs.sampling import ALWAYS

#: Of a line, in one entry of the log and of the trail, as JSON writes it; a longer one has several. An entry of the
#: trail has room for this and for who typed it.
MAX_PIECE_CHARS = 1_500
#: Of an operator's name.
_MAX_NAME_CHARS = 100

Record = Callable[[AuditEntry], None]


@implementer(ILogObserver)
def quiet(event: LogEvent) -> None:
    """An observer for parts of Twisted's that tell of each step: only what went wrong in them is passed on."""
    if "log_failure" in event or event["log_level"] is LogLevel.critical:
        globalLogPublisher(event)


class Trail:
    """Tells of one connection.

    :param record: takes it to the audit trail.
    :param peer: where it comes from.
    :param redact: takes secrets out of what is kept.
    """

    _log = Logger()

    def __init__(self, record: Record, *, peer: str, redact: Callable[[str], str]) -> None:
        self._record = record
        self._peer = peer
        self._redact = redact
        self.operator = ""

    def let_in(self, user: str, operator: str, fingerprint: str) -> None:
        """A login succeeded."""
        self.operator = operator = operator[:_MAX_NAME_CHARS]
        self._log.warn(
            "{operator} is in, as {user} with {fingerprint}, from {peer}",
            operator=operator,
            user=user,
            fingerprint=fingerprint,
            peer=self._peer,
            **{ALWAYS: True},
        )
        self._keep("manhole.login", DONE, "", user=user, key=fingerprint)

    def refused(self, user: str, how: str, reason: str) -> None:
        """A login failed, or there was no room for one. A flood of these is sampled like any other."""
        self._log.warn(
            "refused {user} with {how} from {peer}: {reason}",
            user=user,
            how=how,
            peer=self._peer,
            reason=reason,
        )
        self._keep("manhole.login", REFUSED, reason, user=user, how=how)

    def typed(self, line: str) -> None:
        """A line is about to be run. All of it is kept, but for secrets."""
        # Before it is cut, or half a secret would be none.
        pieces = list(_pieces(self._redact(line)))
        for number, piece in enumerate(pieces, 1):
            part = f"{number} of {len(pieces)}" if len(pieces) > 1 else ""
            self._log.warn(
                "{operator} typed{part}: {line}",
                operator=self.operator,
                part=part and f" ({part})",
                line=piece,
                peer=self._peer,
                **{ALWAYS: True},
            )
            self._keep("manhole.line", DONE, "", line=piece, **({"part": part} if part else {}))

    def too_long(self, line: str, most: int) -> None:
        """A line is not run, for nobody could read all of it afterwards."""
        reason = f"a line of {len(line)} characters, of {most} at most"
        self._log.warn(
            "{operator} is refused {reason}", operator=self.operator, reason=reason, peer=self._peer
        )
        self._keep("manhole.line", REFUSED, reason)

    def ended(self, why: str) -> None:
        """Somebody who was in is out."""
        self._log.info(
            "{operator} is out: {why}", operator=self.operator, why=why, peer=self._peer, **{ALWAYS: True}
        )

    def _keep(self, action: str, decision: str, reason: str, **detail: str) -> None:
        about = {"operator": self.operator, "peer": self._peer, **detail}
        self._record(
            AuditEntry(
                action, decision, reason=reason, level=HIGH, detail=json.dumps(about, ensure_ascii=False)
            )
        )


def _pieces(text: str) -> Iterator[str]:
    """All of it, in pieces of at most ``MAX_PIECE_CHARS`` as JSON writes them; at least one."""
    for start in range(0, max(1, len(text)), MAX_PIECE_CHARS):
        yield from _halves(text[start : start + MAX_PIECE_CHARS])


def _halves(text: str) -> Iterator[str]:
    if len(json.dumps(text, ensure_ascii=False)) <= MAX_PIECE_CHARS + 2:
        yield text
    else:
        middle = len(text) // 2
        yield from _halves(text[:middle])
        yield from _halves(text[middle:])
