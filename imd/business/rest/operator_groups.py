"""The operations of operators on groups."""

from __future__ import annotations

from imd.business.groups.manage import ManageGroups
from imd.business.groups.model import OPERATOR, UNKNOWN, Group
from imd.business.groups.people import GroupPeople
from imd.business.groups.ports import Memberships
from imd.business.groups.wanted import Wanted
from imd.business.permission.rights import is_sensitive
from imd.business.rest.bodies import Done
from imd.business.rest.group_bodies import (
    MemberIdsBody,
    MembersChangedAnswer,
    NewOperatorGroupBody,
    OperatorGroupAnswer,
    OperatorGroupChangeBody,
    TransferBody,
)
from imd.business.rest.group_parts import (
    GROUP_ID,
    KIND_NAMES,
    KINDS,
    POLICY_NAMES,
    changed_answer,
    conversation_id_of,
    history_name,
    user_id_of,
    user_ids_of,
)
from imd.business.rest.operation import Asked, Operation
from imd.kernel.errors import Forbidden


class OperatorGroupApi:
    """Bodies in, use cases, answers out. The use cases know the operator as an actor of their own."""

    def __init__(self, *, manage: ManageGroups, people: GroupPeople, memberships: Memberships) -> None:
        self._manage = manage
        self._people = people
        self._memberships = memberships

    def operations(self) -> list[Operation]:
        """All of them."""
        group = (GROUP_ID,)
        one = "/operator/groups/{id}"
        return [
            Operation("POST", "/operator/groups", "operatorCreateGroup", "Make a group of any kind, with everybody in it",
                      self.create, OperatorGroupAnswer, body=NewOperatorGroupBody, status=201, operator=True),
            Operation("GET", one, "operatorGroup", "A group",
                      self.group, OperatorGroupAnswer, path_parameters=group, operator=True),
            Operation("PATCH", one, "operatorChangeGroup", "Change a group's kind, or mark it sensitive",
                      self.change, OperatorGroupAnswer, body=OperatorGroupChangeBody, path_parameters=group, operator=True),
            Operation("DELETE", one, "operatorDissolveGroup", "End a group",
                      self.dissolve, Done, path_parameters=group, operator=True),
            Operation("POST", one + "/members", "operatorAddMembers", "Add people, all or none",
                      self.add, MembersChangedAnswer, body=MemberIdsBody, path_parameters=group, operator=True),
            Operation("DELETE", one + "/members", "operatorRemoveMembers", "Remove people, all or none",
                      self.remove, MembersChangedAnswer, body=MemberIdsBody, path_parameters=group, operator=True),
            Operation("POST", one + "/transfer", "operatorTransferGroup", "Give a group to one of its members",
                      self.transfer, OperatorGroupAnswer, body=TransferBody, path_parameters=group, operator=True),
        ]  # fmt: skip

    async def create(self, asked: Asked) -> OperatorGroupAnswer:
        body: NewOperatorGroupBody = asked.body
        member_ids = user_ids_of(body.memberIds, "memberIds")
        change = await self._manage.create(
            OPERATOR,
            body.title,
            member_ids,
            owner_id=user_id_of(body.ownerId, "ownerId"),
            wanted=Wanted(
                kind=KINDS[body.kind],
                sensitive=body.sensitive,
                history_from_join=body.history == "from_join",
            ),
        )
        return _group(change.group)

    async def group(self, asked: Asked) -> OperatorGroupAnswer:
        group = await self._memberships.group(conversation_id_of(asked))
        if group is None:
            raise Forbidden(UNKNOWN)
        return _group(group)

    async def change(self, asked: Asked) -> OperatorGroupAnswer:
        body: OperatorGroupChangeBody = asked.body
        wanted = Wanted(kind=None if body.kind is None else KINDS[body.kind], sensitive=body.sensitive)
        return _group((await self._manage.change(OPERATOR, conversation_id_of(asked), wanted)).group)

    async def dissolve(self, asked: Asked) -> Done:
        await self._manage.dissolve(OPERATOR, conversation_id_of(asked))
        return Done()

    async def add(self, asked: Asked) -> MembersChangedAnswer:
        body: MemberIdsBody = asked.body
        user_ids = user_ids_of(body.userIds)
        return changed_answer(await self._people.add(OPERATOR, conversation_id_of(asked), user_ids))

    async def remove(self, asked: Asked) -> MembersChangedAnswer:
        body: MemberIdsBody = asked.body
        user_ids = user_ids_of(body.userIds)
        return changed_answer(await self._people.kick(OPERATOR, conversation_id_of(asked), user_ids))

    async def transfer(self, asked: Asked) -> OperatorGroupAnswer:
        body: TransferBody = asked.body
        user_id = user_id_of(body.userId, "userId")
        return _group((await self._manage.transfer(OPERATOR, conversation_id_of(asked), user_id)).group)


def _group(group: Group) -> OperatorGroupAnswer:
    return OperatorGroupAnswer(
        group.conversation_id,
        group.title,
        group.member_count,
        group.version,
        group.created_at_ms,
        KIND_NAMES[group.kind],
        group.sensitive,
        is_sensitive(group),
        POLICY_NAMES[group.rules.join_policy],
        history_name(group.rules.history_from_join),
        group.all_muted_until_ms,
    )
