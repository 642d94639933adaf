"""What the authority found, as it travels."""

from __future__ import annotations

from imd.bus.failures import failure_of
from imd.business.permission.check import Verdict
from imd.business.permission.model import POLICY_VERSION, Page, Snapshot
from imd.pb.bus_pb2 import CheckVerdict, MembersAnswer, RestrictedAnswer
from imd.pb.sync_pb2 import ConversationKind


def members_answer(snapshot: Snapshot) -> MembersAnswer:
    """Packed: 10,000 ordinary members are 100 KB, and cost 1 ms to put together."""
    answer = MembersAnswer(
        found=True,
        kind=ConversationKind.Name(snapshot.kind),
        version=snapshot.version,
        title=snapshot.title,
        memberIds=snapshot.member_ids,
        roles=[0] * len(snapshot.member_ids),  # type: ignore[list-item]
        groupKind=snapshot.group_kind,  # type: ignore[arg-type]
        sensitive=snapshot.sensitive,
        rights=snapshot.rights,
        allMutedUntil=snapshot.all_muted_until_ms,
        policyVersion=POLICY_VERSION,
    )
    specials = snapshot.specials
    answer.memberIds.extend([special.user_id for special in specials])
    answer.roles.extend([special.role for special in specials])  # type: ignore[misc]
    add = answer.restrictions.add
    for special in specials:
        if special.muted_until_ms or special.visible_from or special.refused:
            add(
                userId=special.user_id,
                mutedUntil=special.muted_until_ms,
                refused=special.refused,
                visibleFrom=special.visible_from,
            )
    return answer


def check_verdict(request_id: str, verdict: Verdict) -> CheckVerdict:
    """Allowed, or why not."""
    if verdict.refusal is None:
        return CheckVerdict(requestId=request_id, allowed=True, version=verdict.version)
    return CheckVerdict(requestId=request_id, refusal=failure_of(verdict.refusal), version=verdict.version)


def restricted_answer(page: Page, *, now_ms: int) -> RestrictedAnswer:
    """Two arrays in step."""
    return RestrictedAnswer(
        conversationIds=[one.conversation_id for one in page.restricted],
        userIds=[one.user_id for one in page.restricted],
        next=page.next,
        timestamp=now_ms,
    )
