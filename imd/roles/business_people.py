"""The business role's people: accounts, devices, friends, blocks, and their REST operations."""

from __future__ import annotations

from typing import NamedTuple

from imd.business.accounts.authenticate import Issue
from imd.business.accounts.close import CloseAccount
from imd.business.accounts.device_bans import DeviceBans
from imd.business.accounts.devices import Devices
from imd.business.accounts.enter import LogIn, Refresh, Register
from imd.business.accounts.leave import ChangePassword, LogOut, Revoke
from imd.business.accounts.login_rules import KindRule, LoginRules
from imd.business.accounts.operate import OperateAccounts
from imd.business.accounts.passwords import Passwords
from imd.business.accounts.ports import Accounts
from imd.business.accounts.profile import Profiles
from imd.business.accounts.sessions import SessionCache
from imd.business.accounts.sql_device_bans import SqlDeviceBans
from imd.business.accounts.sql_people import SqlPeople
from imd.business.accounts.sql_states import SqlAccountStates
from imd.business.accounts.tell import TellState
from imd.business.accounts.tokens import Tokens
from imd.business.announce import BusAnnouncements
from imd.business.audit.ports import Audit
from imd.business.groups.people import GroupPeople
from imd.business.groups.ports import Memberships
from imd.business.relations.befriend import AskFriends, FriendLists
from imd.business.relations.block import BlockPeople, KeepPrivacy
from imd.business.relations.sql_blocks import SqlBlocks, SqlPrivacies, SqlRelations
from imd.business.relations.sql_friends import SqlFriends
from imd.business.relations.sql_requests import SqlRequests
from imd.business.rest.accounts import AccountApi
from imd.business.rest.friends import FriendApi
from imd.business.rest.operation import Operation
from imd.business.rest.operators import OperatorApi
from imd.business.rest.profiles import ProfileApi
from imd.config.login_limits import LOGIN_KINDS, parse_limit
from imd.config.role_settings import BusinessSettings
from imd.config.sections import LoginPolicy
from imd.kernel.attempts import Attempts
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.ids import Snowflake
from imd.roles.business_in_force import BusinessInForce
from imd.storage.sql import Database

#: Handle look-ups: a person who types, not a crawler.
_LOOKUPS_PER_S = 1.0
_LOOKUP_BURST = 30.0
#: Searches: as above, and each shows up to 20 people.
_SEARCHES_PER_S = 0.5
_SEARCH_BURST = 20.0
#: Changes of who may do what: somebody who tries them all, and then thinks about it.
_PRIVACIES_PER_S = 0.1
_PRIVACY_BURST = 20.0
#: Requests for friendship: whoever has just come asks everybody they know; after that they are few.
_REQUESTS_PER_S = 30 / 3600
_REQUEST_BURST = 30.0


class PeopleBase(NamedTuple):
    """What the people of the role stand on."""

    database: Database
    accounts: Accounts
    passwords: Passwords
    tokens: Tokens
    sessions: SessionCache
    announcements: BusAnnouncements
    audit: Audit
    ids: Snowflake
    #: Rates of REST, and whether anybody may register.
    in_force: BusinessInForce
    clock: Clock
    wall_clock: WallClock


def profiles_of(base: PeopleBase) -> Profiles:
    """Who people are, which other domains ask as well."""
    return Profiles(
        accounts=base.accounts,
        people=SqlPeople(base.database),
        lookups=Attempts(rate_per_s=_LOOKUPS_PER_S, burst=_LOOKUP_BURST, what="look-ups", clock=base.clock),
        searches=Attempts(rate_per_s=_SEARCHES_PER_S, burst=_SEARCH_BURST, what="searches", clock=base.clock),
    )


def people_operations(
    config: BusinessSettings,
    base: PeopleBase,
    *,
    profiles: Profiles,
    memberships: Memberships,
    group_people: GroupPeople,
) -> list[Operation]:
    """All of them."""
    settings = config.accounts
    accounts, sessions, announcements = base.accounts, base.sessions, base.announcements
    issue = Issue(tokens=base.tokens, token_ttl_s=settings.token_ttl_s, login_ttl_s=settings.login_ttl_s)
    logins = base.in_force.logins
    bans = DeviceBans(
        ban_list=SqlDeviceBans(base.database),
        sessions=sessions,
        announcements=announcements,
        audit=base.audit,
        wall_clock=base.wall_clock,
        failures=settings.device_failures,
        window_ms=settings.device_window_s * 1000,
        ban_ms=settings.device_ban_s * 1000,
    )
    relations = SqlRelations(base.database)
    friends = SqlFriends(base.database)
    states = SqlAccountStates(base.database)
    tell = TellState(
        sessions=sessions,
        announcements=announcements,
        relation_announcements=announcements,
        relations=relations,
    )
    privacy = KeepPrivacy(
        privacies=SqlPrivacies(base.database),
        relations=relations,
        announcements=announcements,
        changing=Attempts(
            rate_per_s=_PRIVACIES_PER_S, burst=_PRIVACY_BURST, what="changes of privacy", clock=base.clock
        ),
    )
    close = CloseAccount(
        accounts=accounts,
        states=states,
        passwords=base.passwords,
        attempts=logins,
        bans=bans,
        memberships=memberships,
        group_people=group_people,
        friends=friends,
        tell=tell,
        audit=base.audit,
        wall_clock=base.wall_clock,
    )
    account_api = _account_api(config, base, profiles=profiles, issue=issue, logins=logins, bans=bans)
    profile_api = ProfileApi(
        profiles=profiles,
        privacy=privacy,
        devices=Devices(
            accounts=accounts,
            issue=issue,
            revoke=Revoke(accounts=accounts, sessions=sessions, announcements=announcements),
        ),
        close=close,
        refresh_below_s=settings.refresh_below_s,
    )
    friend_api = _friend_api(base, friends=friends)
    operator_api = OperatorApi(
        accounts=OperateAccounts(
            states=states, bans=bans, tell=tell, audit=base.audit, wall_clock=base.wall_clock
        )
    )
    return [
        *account_api.operations(),
        *profile_api.operations(),
        *friend_api.operations(),
        *operator_api.operations(),
    ]


def _friend_api(base: PeopleBase, *, friends: SqlFriends) -> FriendApi:
    announcements, wall_clock = base.announcements, base.wall_clock
    return FriendApi(
        asking=AskFriends(
            requests=SqlRequests(base.database),
            announcements=announcements,
            wall_clock=wall_clock,
            asking=Attempts(
                rate_per_s=_REQUESTS_PER_S,
                burst=_REQUEST_BURST,
                what="requests for friendship",
                clock=base.clock,
            ),
        ),
        friends=FriendLists(
            friends=friends, announcements=announcements, ids=base.ids, wall_clock=wall_clock
        ),
        blocks=BlockPeople(
            blocks=SqlBlocks(base.database),
            announcements=announcements,
            wall_clock=wall_clock,
            lookups=Attempts(rate_per_s=_LOOKUPS_PER_S, burst=_LOOKUP_BURST, what="blocks", clock=base.clock),
        ),
    )


def _account_api(
    config: BusinessSettings,
    base: PeopleBase,
    *,
    profiles: Profiles,
    issue: Issue,
    logins: Attempts,
    bans: DeviceBans,
) -> AccountApi:
    settings = config.accounts
    accounts, sessions, announcements = base.accounts, base.sessions, base.announcements
    return AccountApi(
        register=Register(
            accounts=accounts,
            passwords=base.passwords,
            issue=issue,
            ids=base.ids,
            wall_clock=base.wall_clock,
            by_address=base.in_force.registrations,
            bans=bans,
            is_open_to_all=base.in_force.is_open_to_all,
            password_min_length=settings.password_min_length,
        ),
        log_in=LogIn(
            accounts=accounts,
            passwords=base.passwords,
            issue=issue,
            sessions=sessions,
            announcements=announcements,
            wall_clock=base.wall_clock,
            attempts=logins,
            bans=bans,
            rules=_login_rules(config),
        ),
        refresh=Refresh(
            accounts=accounts,
            issue=issue,
            wall_clock=base.wall_clock,
            refresh_below_s=settings.refresh_below_s,
        ),
        log_out=LogOut(accounts=accounts, sessions=sessions, announcements=announcements),
        change_password=ChangePassword(
            accounts=accounts,
            passwords=base.passwords,
            issue=issue,
            sessions=sessions,
            announcements=announcements,
            attempts=logins,
            bans=bans,
            password_min_length=settings.password_min_length,
        ),
        profiles=profiles,
        refresh_below_s=settings.refresh_below_s,
    )


def _login_rules(config: BusinessSettings) -> LoginRules:
    return LoginRules(
        max_logins=config.gateway.max_devices_per_user,
        login_ttl_ms=config.accounts.login_ttl_s * 1000,
        kinds=_kind_rules(config.login_policy),
    )


def _kind_rules(policy: LoginPolicy) -> dict[str, KindRule]:
    rules = {kind: KindRule(*parse_limit(getattr(policy, kind))) for kind in LOGIN_KINDS}
    return {kind: rule for kind, rule in rules.items() if rule.most}
