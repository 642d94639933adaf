"""Who came, who was refused, and every line that was typed: in the log, and where the role keeps such things."""

from __future__ import annotations

import json
from collections.abc import Callable

from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, globalLogPublisher
from zope.interface import implementer

from imd.bus.audit import DONE, HIGH, REFUSED, AuditEntry
from imd.ops.logs.sampling import ALWAYS

#: Of a line, in the log and in the trail.
MAX_LINE_CHARS = 1_500

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
    """

    _log = Logger()

    def __init__(self, record: Record, *, peer: str) -> None:
        self._record = record
        self._peer = peer
        self.operator = ""

    def let_in(self, user: str, operator: str, fingerprint: str) -> None:
        """A login succeeded."""
        self.operator = operator
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
        """A line is about to be run."""
        self._log.warn(
            "{operator} typed: {line}",
            operator=self.operator,
            line=line[:MAX_LINE_CHARS],
            peer=self._peer,
            **{ALWAYS: True},
        )
        self._keep("manhole.line", DONE, "", line=line[:MAX_LINE_CHARS])

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
