"""Before a message is taken in: judged, in order, and let through, refused or held.

With checks that answer at once a send costs no await. Where one has to wait, what the same device sends into the
same conversation waits behind it; each counts as a send in flight, so a device that goes on is soon not read.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from functools import partial

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from imd.bus.audit import HELD, REFUSED, AuditEntry
from imd.core.directory import Speaker
from imd.core.message.content import replaced_body
from imd.core.message.ports import MessageLog
from imd.core.message.recipients import Recipient
from imd.core.message.sends import PendingSend, Submit
from imd.core.screening.chain import Chain
from imd.core.screening.model import CONTENT, UNAVAILABLE, Action, Draft, Held, Verdict, content_refused
from imd.core.screening.ports import HeldMessages
from imd.kernel.errors import AuthFailed, ImError, InternalError, ServerBusy
from imd.kernel.tasks import Tasks

#: A check that failed is given so long before the same message is worth another try.
UNAVAILABLE_RETRY_MS = 5_000
#: Sends that wait, of all devices: each device has its own bound, and there are many of them.
MAX_WAITING = 10_000

#: What is done once it is a send's turn.
Outcome = Callable[[], None]


class _Turn:
    """A send's place in line."""

    __slots__ = ("outcome", "send")

    def __init__(self, send: PendingSend) -> None:
        self.send = send
        self.outcome: Outcome | None = None


class Gate:
    """Lets sends through to ``submit``.

    :param held: told of what needs a person's eyes.
    :param record: has it kept what was refused or held, and why; the words themselves are not.
    :param on_held: tells the device that its message is held; the last that this node says of the send.
    """

    _logger = Logger()

    def __init__(
        self,
        *,
        check: Chain,
        submit: Submit,
        log: MessageLog,
        held: HeldMessages,
        on_held: Callable[[PendingSend], None],
        record: Callable[[AuditEntry], None],
        tasks: Tasks,
    ) -> None:
        self._check = check
        self._submit = submit
        self._log = log
        self._held = held
        self._on_held = on_held
        self._record = record
        self._tasks = tasks
        self._lines: dict[tuple[Recipient | None, str], deque[_Turn]] = {}
        self._waiting = 0
        #: By ``Action``.
        self.verdicts = [0] * len(Action)

    @property
    def is_open(self) -> bool:
        """Whether nothing is judged now: whoever asks first saves the making of a draft."""
        return self._check.is_empty and not self._lines

    @property
    def unsettled(self) -> int:
        """Sends that wait for a verdict."""
        return self._waiting

    def take(self, send: PendingSend, draft: Draft) -> None:
        """A send whose form is good; answered through its submitter, maybe before this returns."""
        if self._is_full(send):
            return
        verdict = self._check.check(draft)
        place = (send.recipient, draft.conversation_id)
        line = self._lines.get(place) if self._lines else None
        if line is None and isinstance(verdict, Verdict) and verdict.action <= Action.REPLACE:
            self._let_through(send, verdict)
            return
        if line is None:
            line = self._lines[place] = deque()
        turn = _Turn(send)
        line.append(turn)
        self._waiting += 1
        self._tasks.spawn("judge a message", self._judge(place, turn, draft, verdict))

    def follow(self, send: PendingSend) -> None:
        """A send that nobody judges; it does not overtake what the same device sent there before."""
        place = (send.recipient, send.key.conversation_id)
        line = self._lines.get(place) if self._lines else None
        if line is None:
            self._submit.submit(send)
            return
        if self._is_full(send):
            return
        turn = _Turn(send)
        turn.outcome = partial(self._submit.submit, send)
        line.append(turn)
        self._waiting += 1

    def _is_full(self, send: PendingSend) -> bool:
        """Whether the send was refused, since too many wait."""
        if self._waiting < MAX_WAITING:
            return False
        send.submitter.failed(send, ServerBusy("too many messages wait to be judged", retry_after_ms=1000))
        return True

    def _let_through(self, send: PendingSend, verdict: Verdict) -> None:
        self.verdicts[verdict.action] += 1
        if verdict.action is Action.REPLACE:
            send.body = replaced_body(send.body, verdict.text)
        self._submit.submit(send)

    async def _judge(
        self,
        place: tuple[Recipient | None, str],
        turn: _Turn,
        draft: Draft,
        judged: Verdict | Deferred[Verdict],
    ) -> None:
        send = turn.send
        try:
            verdict = judged if isinstance(judged, Verdict) else await judged
            turn.outcome = await self._outcome(send, draft, verdict)
        except ImError as error:
            turn.outcome = partial(send.submitter.failed, send, error)
        except CancelledError:
            # The server goes down, and the device sends it again to another.
            raise
        except Exception:
            self._logger.failure("judging a message failed")
            turn.outcome = partial(
                send.submitter.failed, send, InternalError("the server failed to judge this message")
            )
        self._advance(place)

    def _advance(self, place: tuple[Recipient | None, str]) -> None:
        line = self._lines[place]
        while line and (outcome := line[0].outcome) is not None:
            line.popleft()
            self._waiting -= 1
            try:
                outcome()
            except Exception:
                self._logger.failure("handing on a judged message failed")
        if not line:
            del self._lines[place]

    async def _outcome(self, send: PendingSend, draft: Draft, verdict: Verdict) -> Outcome:
        if verdict.action <= Action.REPLACE:
            return partial(self._let_through, send, verdict)
        # What is stored, or is being decided, must not be called FAILED because rules changed since.
        conversation_id, sender_id, client_msg_id = send.key
        if await self._log.find(conversation_id, sender_id, [client_msg_id]):
            return partial(self._submit.submit, send)
        self.verdicts[verdict.action] += 1
        self._record(_entry(send, verdict))
        if verdict.action is Action.REVIEW:
            if verdict.text:
                send.body = replaced_body(send.body, verdict.text)
            state = await self._held.hold(send, draft, verdict.reason)
        else:
            state = await self._known_as(send)
        if state is Held.DELIVERED:
            return partial(self._submit.submit, send)
        if state is Held.UNDECIDED:
            return partial(self._on_held, send)
        return partial(send.submitter.failed, send, _refusal(verdict))

    async def _known_as(self, send: PendingSend) -> Held:
        """Whether it was held before; where that cannot be learned, a refusal is not put off."""
        conversation_id, sender_id, client_msg_id = send.key
        try:
            sender = Speaker(sender_id, send.ticket)
            states = await self._held.states(conversation_id, sender, [client_msg_id])
        except (ServerBusy, AuthFailed):
            return Held.REFUSED
        return states.get(client_msg_id, Held.REFUSED)


def _entry(send: PendingSend, verdict: Verdict) -> AuditEntry:
    conversation_id, sender_id, client_msg_id = send.key
    return AuditEntry(
        action="message.send",
        decision=HELD if verdict.action is Action.REVIEW else REFUSED,
        reason=CONTENT,
        actor_id=sender_id,
        conversation_id=conversation_id,
        request_id=client_msg_id,
        detail=json.dumps({"verdict": verdict.reason}),
    )


def _refusal(verdict: Verdict) -> ImError:
    if verdict == UNAVAILABLE:
        return ServerBusy(
            "content cannot be checked now", retry_after_ms=UNAVAILABLE_RETRY_MS, reason=CONTENT
        )
    return content_refused()
