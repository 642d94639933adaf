"""The operations about getting into groups: joining, applications, invitations."""

from __future__ import annotations

from imd.business.groups.invite import Invitations
from imd.business.groups.join import JoinGroups
from imd.business.groups.joining import (
    PENDING_PER_PAGE,
    Admission,
    ApplicationState,
    InvitationState,
    application_now,
    invitation_now,
)
from imd.business.groups.model import Change
from imd.business.rest.bodies import Done
from imd.business.rest.group_bodies import (
    ApplicationAnswer,
    ApplicationsAnswer,
    ApplicationStateName,
    DoorAnswer,
    InvitationAnswer,
    InvitationsAnswer,
    InvitationsBody,
    InvitationStateName,
    JoinBody,
    JoinedAnswer,
    UserIdsAnswer,
)
from imd.business.rest.group_parts import (
    AFTER,
    GROUP_ID,
    KIND_NAMES,
    LIMIT,
    POLICY_NAMES,
    USER_ID,
    after_conversation,
    after_user,
    conversation_id_of,
    limit_of,
    user_id_of,
    user_ids_of,
    user_name,
)
from imd.business.rest.operation import Asked, Operation
from imd.kernel.clocks import WallClock

_APPLICATION_STATES: dict[ApplicationState, ApplicationStateName] = {
    ApplicationState.PENDING: "pending",
    ApplicationState.APPROVED: "approved",
    ApplicationState.REFUSED: "refused",
    ApplicationState.CANCELLED: "cancelled",
    ApplicationState.EXPIRED: "expired",
}
_INVITATION_STATES: dict[InvitationState, InvitationStateName] = {
    InvitationState.PENDING: "pending",
    InvitationState.ACCEPTED: "accepted",
    InvitationState.REFUSED: "refused",
    InvitationState.EXPIRED: "expired",
}


class DoorApi:
    """Bodies in, use cases, answers out."""

    def __init__(self, *, joining: JoinGroups, invitations: Invitations, wall_clock: WallClock) -> None:
        self._joining = joining
        self._invitations = invitations
        self._wall_clock = wall_clock

    def operations(self) -> list[Operation]:
        """All of them."""
        group, applicant, page = (GROUP_ID,), (GROUP_ID, USER_ID), (AFTER, LIMIT)
        one, mine = "/groups/{id}", "/me/applications/{id}"
        application, invitation = one + "/applications/{userId}", "/me/invitations/{id}"
        return [
            Operation("GET", one + "/door", "door", "A group that one can join by oneself, from outside",
                      self.door, DoorAnswer, path_parameters=group),
            Operation("POST", one + "/join", "joinGroup", "Join a group, or apply, by its policy",
                      self.join, JoinedAnswer, body=JoinBody, body_required=False, path_parameters=group),
            Operation("GET", one + "/applications", "applications", "Who waits to be let in; owner and admins",
                      self.applications, ApplicationsAnswer, path_parameters=group, query_parameters=page),
            Operation("POST", application + "/approve", "approveApplication", "Let somebody in; owner and admins",
                      self.approve, Done, path_parameters=applicant),
            Operation("POST", application + "/refuse", "refuseApplication", "Let somebody not in; owner and admins",
                      self.refuse, Done, path_parameters=applicant),
            Operation("GET", "/me/applications", "myApplications", "Groups that the caller wants into",
                      self.my_applications, ApplicationsAnswer, query_parameters=page),
            Operation("DELETE", mine, "cancelApplication", "Take an application back",
                      self.cancel, Done, path_parameters=group),
            Operation("POST", one + "/invitations", "invite", "Ask people in; who has the right to invite",
                      self.invite, UserIdsAnswer, body=InvitationsBody, path_parameters=group),
            Operation("GET", "/me/invitations", "myInvitations", "Groups that the caller is asked into",
                      self.my_invitations, InvitationsAnswer, query_parameters=page),
            Operation("POST", invitation + "/accept", "acceptInvitation", "Come",
                      self.accept, JoinedAnswer, path_parameters=group),
            Operation("POST", invitation + "/refuse", "refuseInvitation", "Do not come",
                      self.decline, Done, path_parameters=group),
        ]  # fmt: skip

    async def door(self, asked: Asked) -> DoorAnswer:
        group = await self._joining.door(asked.caller.user_id, conversation_id_of(asked))
        return DoorAnswer(
            group.conversation_id,
            group.title,
            group.member_count,
            KIND_NAMES[group.kind],
            POLICY_NAMES[group.rules.join_policy],
            group.rules.question,
        )

    async def join(self, asked: Asked) -> JoinedAnswer:
        body: JoinBody = asked.body or JoinBody()
        change = await self._joining.join(
            asked.caller.user_id, conversation_id_of(asked), answer=body.answer, message=body.message
        )
        return _joined(change)

    async def applications(self, asked: Asked) -> ApplicationsAnswer:
        after, limit = after_user(asked), limit_of(asked, PENDING_PER_PAGE)
        found = await self._joining.waiting(
            asked.caller.user_id, conversation_id_of(asked), after=after, limit=limit + 1
        )
        page = [self._application(one) for one in found[:limit]]
        return ApplicationsAnswer(page, page[-1].userId if len(found) > limit else "")

    async def approve(self, asked: Asked) -> Done:
        user_id = user_id_of(asked.path["userId"], "userId")
        await self._joining.approve(asked.caller.user_id, conversation_id_of(asked), user_id)
        return Done()

    async def refuse(self, asked: Asked) -> Done:
        user_id = user_id_of(asked.path["userId"], "userId")
        await self._joining.refuse(asked.caller.user_id, conversation_id_of(asked), user_id)
        return Done()

    async def my_applications(self, asked: Asked) -> ApplicationsAnswer:
        after, limit = after_conversation(asked), limit_of(asked, PENDING_PER_PAGE)
        found = await self._joining.mine(asked.caller.user_id, after=after, limit=limit + 1)
        page = [self._application(one) for one in found[:limit]]
        return ApplicationsAnswer(page, page[-1].conversationId if len(found) > limit else "")

    async def cancel(self, asked: Asked) -> Done:
        await self._joining.cancel(asked.caller.user_id, conversation_id_of(asked))
        return Done()

    async def invite(self, asked: Asked) -> UserIdsAnswer:
        body: InvitationsBody = asked.body
        user_ids = user_ids_of(body.userIds)
        invited = await self._invitations.invite(
            asked.caller.user_id, conversation_id_of(asked), user_ids, body.message
        )
        return UserIdsAnswer([str(user_id) for user_id in invited])

    async def my_invitations(self, asked: Asked) -> InvitationsAnswer:
        after, limit = after_conversation(asked), limit_of(asked, PENDING_PER_PAGE)
        found = await self._invitations.mine(asked.caller.user_id, after=after, limit=limit + 1)
        page = [self._invitation(one) for one in found[:limit]]
        return InvitationsAnswer(page, page[-1].conversationId if len(found) > limit else "")

    async def accept(self, asked: Asked) -> JoinedAnswer:
        return _joined(await self._invitations.accept(asked.caller.user_id, conversation_id_of(asked)))

    async def decline(self, asked: Asked) -> Done:
        await self._invitations.refuse(asked.caller.user_id, conversation_id_of(asked))
        return Done()

    def _application(self, one: Admission) -> ApplicationAnswer:
        state = application_now(one.state, one.created_at_ms, self._wall_clock())
        return ApplicationAnswer(
            one.conversation_id,
            one.title,
            str(one.user_id),
            one.handle,
            one.display_name,
            one.message,
            _APPLICATION_STATES[state],
            one.created_at_ms,
        )

    def _invitation(self, one: Admission) -> InvitationAnswer:
        state = invitation_now(one.state, one.created_at_ms, self._wall_clock())
        return InvitationAnswer(
            one.conversation_id,
            one.title,
            user_name(one.by_user_id),
            one.message,
            _INVITATION_STATES[state],
            one.created_at_ms,
        )


def _joined(change: Change | None) -> JoinedAnswer:
    return JoinedAnswer("pending" if change is None else "joined")
