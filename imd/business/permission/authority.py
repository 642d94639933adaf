"""What core may ask: is this token good, who is in a conversation and may do what there, who may see whom?

What is asked on somebody's behalf must come with their ticket; without, nothing is done, and the attempt is kept.
"""

from __future__ import annotations

from functools import partial

from imd.bus.answering import Answered, respond
from imd.bus.audit import HIGH, REFUSED, AuditEntry
from imd.bus.port import Bus
from imd.bus.subjects import (
    AUTH_CHECK,
    AUTH_CONVERSATIONS,
    AUTH_DIRECT,
    AUTH_MEMBERS,
    AUTH_RESTRICTED,
    AUTH_TOKEN,
    AUTH_VISIBLE,
)
from imd.business.accounts.authenticate import Authenticate
from imd.business.audit.ports import Audit
from imd.business.groups.direct import OpenDirect
from imd.business.groups.ports import Memberships
from imd.business.permission.answers import check_verdict, members_answer, restricted_answer
from imd.business.permission.check import CheckRights, Verdict
from imd.business.permission.model import POLICY_VERSION, not_member
from imd.business.permission.ports import Standings
from imd.business.permission.tickets import TicketRefused, Tickets
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.errors import Forbidden, ImError, PayloadInvalid
from imd.kernel.ids import is_id
from imd.ops.tracing import NO_TRACER, Tracer
from imd.pb.bus_pb2 import (
    Check,
    CheckAnswer,
    CheckQuery,
    ConversationsAnswer,
    ConversationsQuery,
    DirectAnswer,
    DirectQuery,
    MembersAnswer,
    MembersQuery,
    RestrictedAnswer,
    RestrictedQuery,
    TokenCheck,
    TokenVerdict,
    VisibleAnswer,
    VisibleQuery,
)
from imd.pb.sync_pb2 import ConversationKind

#: An answer on the bus has at most 1 MB, an entry at most 600 bytes.
CONVERSATIONS_PER_PAGE = 1_000
MAX_TARGETS = 1_000
MAX_CHECKS = 256
#: Rows of one page, at most 100 bytes each on the bus.
RESTRICTED_PER_PAGE = 5_000
#: What a session must carry to ask whether its user may write (spec 24.4).
SEND_SCOPE = "message:send"


class Authority:
    """Answers on the bus. An expected no is a ``Failure`` in the answer, never an exception."""

    def __init__(
        self,
        *,
        bus: Bus,
        authenticate: Authenticate,
        tickets: Tickets,
        memberships: Memberships,
        standings: Standings,
        check: CheckRights,
        open_direct: OpenDirect,
        audit: Audit,
        clock: Clock,
        wall_clock: WallClock,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._bus = bus
        self._authenticate = authenticate
        self._tickets = tickets
        self._memberships = memberships
        self._standings = standings
        self._check = check
        self._open_direct = open_direct
        self._audit = audit
        self._wall_clock = wall_clock
        self._tracer = tracer
        self.answered = Answered(clock=clock)

    async def start(self) -> None:
        """From here on, core gets answers."""
        answer = partial(respond, self._bus, tracer=self._tracer, counted=self.answered)
        answer(AUTH_TOKEN, TokenCheck, TokenVerdict, self._token)
        answer(AUTH_MEMBERS, MembersQuery, MembersAnswer, self._members)
        answer(AUTH_CHECK, CheckQuery, CheckAnswer, self._checks)
        answer(AUTH_RESTRICTED, RestrictedQuery, RestrictedAnswer, self._restricted)
        answer(AUTH_DIRECT, DirectQuery, DirectAnswer, self._direct)
        answer(AUTH_CONVERSATIONS, ConversationsQuery, ConversationsAnswer, self._conversations)
        answer(AUTH_VISIBLE, VisibleQuery, VisibleAnswer, self._visible)

    async def stop(self) -> None:
        """The bus stops asking when it stops."""

    async def _token(self, query: TokenCheck) -> TokenVerdict:
        caller = await self._authenticate.on_device(query.token, query.deviceId)
        return TokenVerdict(
            userId=caller.user_id,
            deviceId=caller.device_id,
            expiresAt=caller.expires_at_ms,
            scopes=caller.scopes,
            loginId=caller.login_id,
            ticket=self._tickets.make(caller),
            level=caller.level,
        )

    async def _members(self, query: MembersQuery) -> MembersAnswer:
        if not is_id(query.conversationId):
            return MembersAnswer(found=False)
        snapshot = await self._standings.snapshot(query.conversationId)
        return MembersAnswer(found=False) if snapshot is None else members_answer(snapshot)

    async def _checks(self, query: CheckQuery) -> CheckAnswer:
        checks = list(query.checks)
        if len(checks) > MAX_CHECKS:
            raise PayloadInvalid(f"at most {MAX_CHECKS} checks at once", field="checks")
        refused = [await self._unproven(check) for check in checks]
        left = [
            (check.conversationId, check.userId, int(check.right))
            for check, no in zip(checks, refused, strict=True)
            if no is None
        ]
        verdicts = iter(await self._check(left) if left else ())
        return CheckAnswer(
            verdicts=[
                check_verdict(check.requestId, next(verdicts) if no is None else Verdict(no, 0))
                for check, no in zip(checks, refused, strict=True)
            ],
            policyVersion=POLICY_VERSION,
        )

    async def _unproven(self, check: Check) -> ImError | None:
        """Why this need not even be looked up."""
        try:
            holder = await self._tickets.holder(check.ticket, check.userId)
        except TicketRefused as refused:
            self._note(AUTH_CHECK, refused, check.userId, conversation_id=check.conversationId)
            return refused
        if SEND_SCOPE not in holder.scopes:
            return Forbidden("this token is not for sending messages", reason="no_scope")
        return None if is_id(check.conversationId) else not_member()

    async def _restricted(self, query: RestrictedQuery) -> RestrictedAnswer:
        now_ms = self._wall_clock()
        page = await self._standings.restricted(query.after, now_ms=now_ms, limit=RESTRICTED_PER_PAGE)
        return restricted_answer(page, now_ms=now_ms)

    async def _direct(self, query: DirectQuery) -> DirectAnswer:
        await self._proven(query, AUTH_DIRECT, subject_id=query.peerUserId)
        conversation_id = await self._open_direct(query.userId, query.peerUserId)
        return DirectAnswer(conversationId=conversation_id)

    async def _conversations(self, query: ConversationsQuery) -> ConversationsAnswer:
        await self._proven(query, AUTH_CONVERSATIONS)
        answer = ConversationsAnswer()
        found = await self._memberships.conversations_of(
            query.userId, after=query.after, limit=CONVERSATIONS_PER_PAGE + 1
        )
        if len(found) > CONVERSATIONS_PER_PAGE:
            found = found[:CONVERSATIONS_PER_PAGE]
            answer.next = found[-1].conversation_id
        for one in found:
            answer.conversations.add(
                conversationId=one.conversation_id,
                kind=ConversationKind.Name(one.kind),
                peerUserId=one.peer_user_id,
                title=one.title,
                memberCount=one.member_count,
                visibleFrom=one.visible_from,
            )
        return answer

    async def _visible(self, query: VisibleQuery) -> VisibleAnswer:
        if len(query.targetIds) > MAX_TARGETS:
            raise PayloadInvalid(f"at most {MAX_TARGETS} users at once", field="targetIds")
        await self._proven(query, AUTH_VISIBLE)
        visible = await self._memberships.visible(query.userId, list(query.targetIds))
        return VisibleAnswer(visibleIds=sorted(visible))

    async def _proven(
        self, query: DirectQuery | ConversationsQuery | VisibleQuery, subject: str, *, subject_id: int = 0
    ) -> None:
        """Who asks is who it says: their ticket is there."""
        try:
            await self._tickets.holder(query.ticket, query.userId)
        except TicketRefused as refused:
            self._note(subject, refused, query.userId, subject_id=subject_id)
            raise

    def _note(
        self,
        subject: str,
        refused: TicketRefused,
        user_id: int,
        *,
        subject_id: int = 0,
        conversation_id: str = "",
    ) -> None:
        # A session whose login has just ended may be among them; whoever forges is as well.
        self._audit.record(
            AuditEntry(
                action=subject.removeprefix("im."),
                decision=REFUSED,
                reason=refused.why,
                actor_id=user_id,
                subject_id=subject_id,
                conversation_id=conversation_id,
                level=HIGH,
                # Through this session somebody spoke who is not its user.
                detail=f'{{"holder":"{refused.holder_id}"}}' if refused.holder_id else "",
            )
        )
