"""The business role: accounts, groups, permission and their REST API, in the order they start."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import NamedTuple

from argon2 import PasswordHasher
from sqlalchemy import Engine
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.web.resource import IResource

from imd.bus.audit import AuditLog
from imd.bus.port import Bus
from imd.business.accounts.authenticate import Authenticate
from imd.business.accounts.passwords import Passwords, Threads
from imd.business.accounts.revoked import RevokedElsewhere
from imd.business.accounts.secrets import SecretFile
from imd.business.accounts.sessions import SessionCache
from imd.business.accounts.sql import SqlAccounts
from imd.business.accounts.tokens import Tokens
from imd.business.announce import BusAnnouncements
from imd.business.audit.keep import KeepAudit
from imd.business.audit.sql import SqlAuditEvents
from imd.business.explain.core import BusCore
from imd.business.explain.explain import ExplainMessage
from imd.business.explain.sql import SqlBackgrounds
from imd.business.gateways.board import GatewayBoard
from imd.business.groups.direct import OpenDirect
from imd.business.groups.sql_memberships import SqlDirects, SqlMemberships
from imd.business.operators.ask import BusOperators
from imd.business.permission.authority import Authority
from imd.business.permission.check import CheckRights
from imd.business.permission.pairs_at import SqlPairsAt
from imd.business.permission.recheck import Recheck
from imd.business.permission.revoking import Revoking
from imd.business.permission.sql import SqlStandings
from imd.business.permission.tickets import Tickets
from imd.business.rest.api import Api
from imd.business.rest.audit import AuditApi
from imd.business.rest.bounded import BoundedRequest
from imd.business.rest.explain import ExplainApi
from imd.business.rest.gateways import GatewayApi
from imd.business.rest.openapi import with_description
from imd.business.retell import Retelling
from imd.business.sql_announced import SqlAnnounced
from imd.business.webhooks.dispatch import Posts
from imd.config.role_settings import BusinessSettings
from imd.kernel.attempts import Attempts
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.ids import Snowflake
from imd.kernel.lifecycle import Stage
from imd.kernel.slowest import Slowest
from imd.kernel.tasks import Tasks
from imd.ops.metrics.readings import Source
from imd.ops.operator_token import OperatorToken
from imd.ops.tracing import NO_TRACER, Tracer
from imd.ops.version import version
from imd.roles.audit import audit_log
from imd.roles.business_groups import GroupParts, build_groups
from imd.roles.business_in_force import BusinessInForce
from imd.roles.business_people import PeopleBase, people_operations, profiles_of
from imd.roles.business_policy import build_outbox, build_policy, webhook_posts
from imd.roles.manhole.business import BusinessInside
from imd.roles.manhole.timed import timed_threads
from imd.roles.metrics.audit import audit_source
from imd.roles.metrics.business import business_source
from imd.roles.metrics.stores import sql_source
from imd.roles.stages import Background, Pool
from imd.storage.sql import MAX_CALLS, Database

#: Of one address, which many people may share; an answer costs less than half a millisecond.
_DISCOVERIES_PER_S = 100.0
_DISCOVERY_BURST = 1000.0


class BusinessStores(NamedTuple):
    """What the role keeps beyond its own life, and how many threads work on it."""

    secret: SecretFile
    operator_token: OperatorToken
    #: Opens the business database, its tables made or brought up to date.
    connect: Callable[[], Engine]
    sql_threads: int
    sql_timeout_s: float
    sql_slow_queue: int = MAX_CALLS
    #: Other nodes use them, too.
    shared: bool = False


class BusinessRole(NamedTuple):
    """What has to be started, and what has to be served."""

    stages: list[tuple[str, Stage]]
    #: To be mounted at /api.
    api: IResource
    #: For the ``Site``: bounds what is kept of a body.
    request_factory: type[BoundedRequest]
    #: For whoever asks whether it can be used.
    database: Database
    #: Takes what changes of the configuration while the role runs.
    in_force: BusinessInForce
    #: What is counted.
    sources: Sequence[Source]
    #: For who looks into it.
    inside: BusinessInside
    audit: AuditLog


class BusinessParts(NamedTuple):
    """The role without its threads and files."""

    passwords: Passwords
    sessions: SessionCache
    audit: AuditLog
    keep_audit: KeepAudit
    authority: Authority
    board: GatewayBoard
    groups: GroupParts
    recheck: Recheck
    other_stages: list[tuple[str, Stage]]
    api: Api
    in_force: BusinessInForce
    #: What is counted.
    sources: Sequence[Source]
    request_factory: type[BoundedRequest] = BoundedRequest


def build_business(
    config: BusinessSettings,
    *,
    reactor: IReactorFromThreads,
    clock: Clock,
    wall_clock: WallClock,
    bus: Bus,
    stores: BusinessStores,
    tracer: Tracer = NO_TRACER,
    slowest: Slowest | None = None,
) -> BusinessRole:
    """Put the role together; nothing is opened or made before its stages start.

    :param slowest: is told how long calls of the database take.
    """
    sql_pool = ThreadPool(minthreads=1, maxthreads=stores.sql_threads, name="business-sql")
    hash_pool = ThreadPool(minthreads=0, maxthreads=config.accounts.hash_threads, name="password-hash")
    database = Database(
        connect=stores.connect,
        threads=timed_threads(
            partial(deferToThreadPool, reactor, sql_pool), slowest=slowest, seconds=clock.seconds
        ),
        clock=clock,
        timeout_s=stores.sql_timeout_s,
        slow_queue=stores.sql_slow_queue,
    )
    tasks = Tasks()
    parts = assemble(
        config,
        database=database,
        # One lane each: `hash_threads` says how many cores a flood of logins may take from the chat.
        hasher=PasswordHasher(parallelism=1),
        hash_threads=partial(deferToThreadPool, reactor, hash_pool),
        secret=stores.secret.value,
        is_operator=stores.operator_token.is_right,
        posts=webhook_posts(config.webhook, reactor=reactor, clock=clock, wall_clock=wall_clock),
        clock=clock,
        wall_clock=wall_clock,
        bus=bus,
        tasks=tasks,
        tracer=tracer,
    )
    stages: list[tuple[str, Stage]] = [
        ("token secret", stores.secret),
        ("operators' token", stores.operator_token),
        ("SQL threads", Pool(sql_pool)),
        ("business database", database),
        ("hash threads", Pool(hash_pool)),
        ("passwords", parts.passwords),
        ("background work", Background(tasks)),
        ("audit log", parts.audit),
        ("audit store", parts.keep_audit),
        ("second look", parts.recheck),
        *_among_nodes(config, bus=bus, sessions=parts.sessions, shared=stores.shared),
        ("authority", parts.authority),
        *parts.other_stages,
        ("gateway board", parts.board),
        ("forgetting", parts.groups.forgetting),
        ("REST API", parts.api),
    ]
    sources = [*parts.sources, sql_source(database, threads=stores.sql_threads)]
    inside = BusinessInside(
        accounts=SqlAccounts(database),
        sessions=parts.sessions,
        passwords=parts.passwords,
        database=database,
        attempts=parts.in_force.attempts,
    )
    return BusinessRole(
        stages, parts.api, parts.request_factory, database, parts.in_force, sources, inside, parts.audit
    )


def _among_nodes(
    config: BusinessSettings, *, bus: Bus, sessions: SessionCache, shared: bool
) -> list[tuple[str, Stage]]:
    if not shared:
        return []
    return [("revoked elsewhere", RevokedElsewhere(bus=bus, sessions=sessions, node=str(config.node_id)))]


def assemble(
    config: BusinessSettings,
    *,
    database: Database,
    hasher: PasswordHasher,
    hash_threads: Threads,
    secret: Callable[[], bytes],
    is_operator: Callable[[str], bool],
    posts: Posts | None,
    clock: Clock,
    wall_clock: WallClock,
    bus: Bus,
    tasks: Tasks,
    tracer: Tracer = NO_TRACER,
) -> BusinessParts:
    """Every object of the role, each with what it needs and no more."""
    accounts = SqlAccounts(database)
    passwords = Passwords(
        hasher=hasher,
        threads=hash_threads,
        slots=config.accounts.hash_threads + config.accounts.hash_queue,
    )
    tokens = Tokens(secret=secret, kind="access", wall_clock=wall_clock)
    sessions = SessionCache(accounts=accounts, clock=clock, tasks=tasks)
    authenticate = Authenticate(tokens=tokens, sessions=sessions)
    audit = audit_log(bus, f"business-{config.node_id}", clock=clock, wall_clock=wall_clock)
    audit_events = SqlAuditEvents(database)
    waiting = SqlAnnounced(database)
    announcements = BusAnnouncements(
        bus=bus, waiting=waiting, clock=clock, wall_clock=wall_clock, tasks=tasks
    )
    retelling = Retelling(
        waiting=waiting, tell=announcements.tell_again, clock=clock, random=Random().random, tasks=tasks
    )
    ids = Snowflake(node_id=config.node_id, wall_clock=wall_clock)
    memberships = SqlMemberships(database)
    in_force = BusinessInForce(config, clock=clock)
    people = PeopleBase(
        database=database,
        accounts=accounts,
        passwords=passwords,
        tokens=tokens,
        sessions=sessions,
        announcements=announcements,
        audit=audit,
        ids=ids,
        in_force=in_force,
        clock=clock,
        wall_clock=wall_clock,
    )
    profiles = profiles_of(people)
    open_direct = OpenDirect(directs=SqlDirects(database), announcements=announcements, wall_clock=wall_clock)
    groups = build_groups(
        config,
        database=database,
        secret=secret,
        memberships=memberships,
        profiles=profiles,
        open_direct=open_direct,
        announcements=announcements,
        audit=audit,
        ids=ids,
        bus=bus,
        clock=clock,
        wall_clock=wall_clock,
        tasks=tasks,
    )
    board = GatewayBoard(bus=bus, clock=clock)
    gateway_api = GatewayApi(
        board=board,
        by_address=Attempts(
            rate_per_s=_DISCOVERIES_PER_S,
            burst=_DISCOVERY_BURST,
            what="questions for gateways from this address",
            clock=clock,
        ),
        random_hex=secrets.token_hex,
    )
    tickets = Tickets(secret=secret, sessions=sessions, wall_clock=wall_clock)
    standings = SqlStandings(database)
    check = CheckRights(standings=standings, wall_clock=wall_clock, tasks=tasks)
    policy = build_policy(
        config.webhook,
        node_id=config.node_id,
        posts=posts,
        outbox=build_outbox(config.webhook),
        database=database,
        bus=bus,
        check=check,
        open_direct=open_direct,
        tickets=tickets,
        audit=audit,
        ids=ids,
        clock=clock,
        wall_clock=wall_clock,
        tasks=tasks,
    )
    explain = ExplainMessage(
        core=BusCore(bus=bus),
        nodes=board,
        backgrounds=SqlBackgrounds(database),
        events=audit_events,
        audit=audit,
        wall_clock=wall_clock,
    )
    operations = [
        *people_operations(
            config, people, profiles=profiles, memberships=memberships, group_people=groups.people
        ),
        *groups.operations,
        *gateway_api.operations(),
        *AuditApi(events=audit_events).operations(),
        *ExplainApi(explain=explain).operations(),
        *policy.operations,
    ]
    operators = BusOperators(bus=bus, is_own=is_operator, clock=clock)
    api = Api(
        operations=with_description(operations, version=version()),
        authenticate=authenticate,
        operators=operators,
        audit=audit,
        requests=in_force.requests,
        origins=config.gateway.origins,
        clock=clock,
    )
    authority = Authority(
        bus=bus,
        authenticate=authenticate,
        tickets=tickets,
        memberships=memberships,
        standings=standings,
        check=check,
        open_direct=open_direct,
        audit=audit,
        clock=clock,
        wall_clock=wall_clock,
        tracer=tracer,
    )
    keep_audit = KeepAudit(
        bus=bus,
        events=audit_events,
        clock=clock,
        wall_clock=wall_clock,
        tasks=tasks,
        keep_days=config.audit.keep_days,
    )
    recheck = Recheck(
        bus=bus,
        standings=groups.standings_at,
        pairs=SqlPairsAt(database),
        memberships=memberships,
        open_direct=open_direct,
        revoking=Revoking(bus=bus),
        audit=audit,
        clock=clock,
    )
    sources = [
        business_source(
            authority=authority,
            api=api,
            passwords=passwords,
            announcements=announcements,
            recheck=recheck,
        ),
        audit_source(audit),
        *policy.sources,
    ]
    return BusinessParts(
        passwords,
        sessions,
        audit,
        keep_audit,
        authority,
        board,
        groups,
        recheck,
        [*policy.stages, ("operators", operators), ("untold changes", retelling)],
        api,
        in_force,
        sources,
    )
