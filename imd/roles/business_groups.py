"""Groups as the business role puts them together: what changes them, what asks about them, what REST shows of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from imd.bus.port import Bus
from imd.business.accounts.profile import Profiles
from imd.business.announce import BusAnnouncements
from imd.business.audit.ports import Audit
from imd.business.groups.details import GroupDetails
from imd.business.groups.direct import OpenDirect
from imd.business.groups.expire import Forgetting
from imd.business.groups.history import BusHistory, FirstVisible
from imd.business.groups.invite import Invitations
from imd.business.groups.join import JoinGroups
from imd.business.groups.joining import Answers
from imd.business.groups.manage import ManageGroups
from imd.business.groups.people import GroupPeople
from imd.business.groups.ports import Memberships
from imd.business.groups.restrict import RestrictPeople
from imd.business.groups.sql import SqlGroups
from imd.business.groups.sql_admissions import SqlAdmissions
from imd.business.groups.sql_details import SqlDetails
from imd.business.groups.sql_past import SqlPast
from imd.business.groups.sql_restrictions import SqlRestrictions
from imd.business.groups.sql_standing import SqlStandingsAt
from imd.business.groups.sql_steps import Admitting
from imd.business.groups.telling import Telling
from imd.business.rest.group_doors import DoorApi
from imd.business.rest.group_order import OrderApi
from imd.business.rest.groups import GroupApi
from imd.business.rest.operation import Operation
from imd.business.rest.operator_groups import OperatorGroupApi
from imd.config.role_settings import BusinessSettings
from imd.kernel.attempts import Attempts
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.ids import Snowflake
from imd.kernel.tasks import Tasks
from imd.storage.sql import Database

#: Groups that somebody outside may look at or knock at: a person with a list, not a crawler.
_DOORS_PER_S = 0.5
_DOOR_BURST = 30.0
#: Answers to one group's question: a person who cannot remember, not one who has all words there are.
_ANSWERS_PER_S = 1 / 600
_ANSWER_BURST = 5.0
#: People who are brought into groups without having been asked: a large group at once, and then a class an hour.
_ADDED_PER_S = 0.01
_ADDED_BURST = 20_000.0
#: Invitations, whoever gets them: a whole class at once, and then some each hour.
_INVITATIONS_PER_S = 1 / 60
_INVITATION_BURST = 200.0


class GroupParts(NamedTuple):
    """What the rest of the role needs."""

    operations: list[Operation]
    people: GroupPeople
    memberships: Memberships
    standings_at: SqlStandingsAt
    forgetting: Forgetting


def build_groups(
    config: BusinessSettings,
    *,
    database: Database,
    secret: Callable[[], bytes],
    memberships: Memberships,
    profiles: Profiles,
    open_direct: OpenDirect,
    announcements: BusAnnouncements,
    audit: Audit,
    ids: Snowflake,
    bus: Bus,
    clock: Clock,
    wall_clock: WallClock,
    tasks: Tasks,
) -> GroupParts:
    """Every object of the domain, each with what it needs and no more."""
    admitting = Admitting(
        max_members=config.accounts.group_max_members, groups_per_user=config.accounts.groups_per_user
    )
    groups = SqlGroups(database, admitting=admitting)
    admissions = SqlAdmissions(database, admitting=admitting)
    telling = Telling(announcements=announcements, audit=audit)
    first_visible = FirstVisible(memberships=memberships, history=BusHistory(bus=bus))
    answers = Answers(secret=secret)
    added = Attempts(
        rate_per_s=_ADDED_PER_S, burst=_ADDED_BURST, what="people brought into groups", clock=clock
    )
    manage = ManageGroups(
        groups=groups, telling=telling, answers=answers, added=added, ids=ids, wall_clock=wall_clock
    )
    people = GroupPeople(
        groups=groups, telling=telling, first_visible=first_visible, added=added, wall_clock=wall_clock
    )
    group_api = GroupApi(
        open_direct=open_direct, manage=manage, people=people, memberships=memberships, profiles=profiles
    )
    door_api = DoorApi(
        joining=JoinGroups(
            admissions=admissions,
            telling=telling,
            first_visible=first_visible,
            answers=answers,
            lookups=Attempts(
                rate_per_s=_DOORS_PER_S, burst=_DOOR_BURST, what="groups looked at", clock=clock
            ),
            answers_tried=Attempts(
                rate_per_s=_ANSWERS_PER_S, burst=_ANSWER_BURST, what="answers", clock=clock
            ),
            wall_clock=wall_clock,
        ),
        invitations=Invitations(
            admissions=admissions,
            telling=telling,
            first_visible=first_visible,
            rate=Attempts(
                rate_per_s=_INVITATIONS_PER_S, burst=_INVITATION_BURST, what="invitations", clock=clock
            ),
            wall_clock=wall_clock,
        ),
        wall_clock=wall_clock,
    )
    order_api = OrderApi(
        details=GroupDetails(details=SqlDetails(database), telling=telling, wall_clock=wall_clock),
        restrict=RestrictPeople(
            restrictions=SqlRestrictions(database), telling=telling, wall_clock=wall_clock
        ),
        memberships=memberships,
    )
    operator_api = OperatorGroupApi(manage=manage, people=people, memberships=memberships)
    operations = [
        operation for api in (group_api, door_api, order_api, operator_api) for operation in api.operations()
    ]
    forgetting = Forgetting(past=SqlPast(database), clock=clock, wall_clock=wall_clock, tasks=tasks)
    return GroupParts(operations, people, memberships, SqlStandingsAt(database), forgetting)
