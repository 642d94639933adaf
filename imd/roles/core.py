"""The core role: the gateway and the message pipeline, in the order they start."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from imd.bus.port import Bus
from imd.config.role_settings import CoreSettings
from imd.core.directory_bus import BusDirectory
from imd.core.explain.answer import ExplainAnswers
from imd.core.explain.record import NodeRecord
from imd.core.gateway.acks import Acks
from imd.core.gateway.authenticate import Authenticator
from imd.core.gateway.drain import Drain
from imd.core.gateway.flush import FlushTick
from imd.core.gateway.gateway import Gateway
from imd.core.gateway.idle import IdleScan
from imd.core.gateway.quick import QuickRefusal
from imd.core.gateway.quotas import Quotas
from imd.core.gateway.registry import Registry
from imd.core.gateway.replies import Replies
from imd.core.gateway.requests import Requests
from imd.core.gateway.revocations import Revocations
from imd.core.gateway.second_look import SecondLook
from imd.core.gateway.trail import RefusalTrail
from imd.core.gateway.watching import Watching
from imd.core.message.append import Appender
from imd.core.message.catch_up import CatchUp
from imd.core.message.content import ContentLimits
from imd.core.message.fanout import Fanout
from imd.core.message.first_words import FirstWords
from imd.core.message.last_seq import LastSeqs
from imd.core.message.listening import Listening
from imd.core.message.live import LiveConversations
from imd.core.message.neighbours import Neighbours, NoNeighbours
from imd.core.message.recall import Recaller
from imd.core.message.receipts import Receipts
from imd.core.message.refuse import Refusals
from imd.core.message.revoke import Revoker
from imd.core.message.sends import Submit
from imd.core.message.settle import Settling
from imd.core.message.sweep import TailSweep
from imd.core.message.system import SystemMessages
from imd.core.permission.restricted import RestrictedUsers
from imd.core.permission.snapshots import MembershipCache
from imd.core.presence.presence import Presence
from imd.core.presence.sight import Sight
from imd.core.screening.holding import BusReviews
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.ids import Snowflake
from imd.kernel.lifecycle import Stage
from imd.kernel.tasks import Tasks
from imd.ops.tracing import NO_TRACER, Tracer
from imd.roles.audit import audit_log
from imd.roles.core_in_force import CoreInForce, daily_limits, hint_thresholds, rates
from imd.roles.core_parts import CoreRole, CoreStores
from imd.roles.gateway_values import gateway_limits, greeting, idle_timeouts
from imd.roles.manhole.core import CoreInside
from imd.roles.metrics.audit import audit_source
from imd.roles.metrics.gateway import content_source, gateway_source, presence_source
from imd.roles.metrics.messages import messages_source
from imd.roles.metrics.permission import permission_source
from imd.roles.neighbourhood import Cluster, Neighbourhood
from imd.roles.outside import build_outside
from imd.roles.screening import build_screening
from imd.roles.stages import Background, FastProtobuf
from imd.roles.standing import Standing
from imd.roles.tracing import build_traces


def build_core(
    config: CoreSettings,
    *,
    reactor: Any,
    clock: Clock,
    wall_clock: WallClock,
    bus: Bus,
    stores: CoreStores,
    epoch: Callable[[], str],
    cluster: Cluster | None = None,
    is_on_bus: Callable[[], bool] = lambda: True,
    tracer: Tracer = NO_TRACER,
) -> CoreRole:
    """Put the role together; nothing is opened before its stages start.

    :param cluster: what it shares with other nodes; None: it is alone.
    :param is_on_bus: whether the other nodes can be heard.
    :param tracer: keeps the spans of sampled messages.
    """
    messages, tasks = config.messages, Tasks()
    ids = Snowflake(node_id=config.node_id, wall_clock=wall_clock, random=Random().random)
    log, cursors = stores.log, stores.cursors
    registry = Registry(rates=rates(config.limits), clock=clock)
    audit = audit_log(bus, f"core-{config.node_id}", clock=clock, wall_clock=wall_clock)
    record = NodeRecord(kept=stores.kept, clock=clock, wall_clock=wall_clock, tasks=tasks)
    standing = Standing(config.permission, clock=clock)
    directory = BusDirectory(bus=bus, asking=standing.asking, tracer=tracer)
    members = MembershipCache(
        directory=directory,
        clock=clock,
        random=Random().random,
        second=None if cluster is None else cluster.second_level,
        lifetimes=standing.lifetimes,
    )
    restricted = RestrictedUsers(source=directory, clock=clock, tasks=tasks)
    standing.complete(
        members=members,
        directory=directory,
        trail=audit,
        may_be_restricted=restricted.may_be_restricted,
        wall_clock=wall_clock,
        tasks=tasks,
    )
    # Those who are not alone are told by others, or have to look.
    listening = None if cluster is None else Listening()
    live = LiveConversations(members=members, log=log, sessions=registry, listening=listening)
    neighbourhood: Neighbourhood | None = None
    if cluster is not None and listening is not None:
        neighbourhood = Neighbourhood(
            cluster,
            node_id=config.node_id,
            max_devices_per_user=config.gateway.max_devices_per_user,
            bus=bus,
            is_on_bus=is_on_bus,
            bus_is_back=standing.bus_is_back,
            listening=listening,
            live=live,
            clock=clock,
            wall_clock=wall_clock,
            tasks=tasks,
            record=record,
            tracer=tracer,
        )
    neighbours: Neighbours = NoNeighbours() if neighbourhood is None else neighbourhood.neighbours
    fanout = Fanout(
        live=live,
        tasks=tasks,
        clock=clock,
        thresholds=hint_thresholds(messages),
        node_count=(lambda: 1) if neighbourhood is None else neighbourhood.node_count,
        record=record,
        tracer=tracer,
    )
    receipts = Receipts(
        live=live,
        log=log,
        cursors=cursors,
        sessions=registry,
        neighbours=neighbours,
        tasks=tasks,
        clock=clock,
        max_members=messages.receipts_max_members,
    )
    logs = [log] * stores.partitions
    refusals = Refusals(
        logs=logs,
        partition_of=stores.partition_of,
        tasks=tasks,
        clock=clock,
        is_held=None if neighbourhood is None else neighbourhood.still_held.is_held,
    )
    appender = Appender(
        live=live,
        fanout=fanout,
        neighbours=neighbours,
        receipts=receipts,
        refusals=refusals,
        stand_in=standing.stand_in,
        logs=logs,
        partition_of=stores.partition_of,
        new_id=ids.next,
        tasks=tasks,
        clock=clock,
        batch_size=messages.batch_size,
        queue_size=messages.queue_size,
        conversation_per_s=config.limits.conversation_per_s,
    )
    FirstWords(live=live, fanout=fanout, neighbours=neighbours, clock=clock, tasks=tasks)
    presence = Presence(
        clock=clock,
        wall_clock=wall_clock,
        directory=directory,
        merge_window_s=config.presence.merge_window_s,
        max_watched=config.presence.max_watched,
        last_seen=stores.last_seen,
        elsewhere=None if neighbourhood is None else neighbourhood.elsewhere,
    )
    submit: Submit = appender
    among_nodes: list[tuple[str, Stage]] = []
    if neighbourhood is not None:
        submit, among_nodes = neighbourhood.join(
            appender=appender,
            fanout=fanout,
            receipts=receipts,
            registry=registry,
            presence=presence,
            queue_size=messages.queue_size,
        )
    reviews = BusReviews(bus=bus, clock=clock)
    catch_up = CatchUp(
        live=live, directory=directory, log=log, cursors=cursors, held=reviews, listening=listening
    )
    watching = Watching(
        presence=presence,
        routes=None if neighbourhood is None else neighbourhood.sessions,
        record=record,
    )
    replies = Replies(registry=registry, live=live, watching=watching, clock=clock, record=record)
    if neighbourhood is not None:
        neighbourhood.sessions.on_kick(replies.kick_session)
    authenticator = Authenticator(
        greeting=greeting(config, epoch),
        max_devices_per_user=config.gateway.max_devices_per_user,
        registry=registry,
        replies=replies,
        directory=directory,
        live=live,
        catch_up=catch_up,
        watching=watching,
        ids=ids,
        clock=clock,
        wall_clock=wall_clock,
        second_look=None if neighbourhood is None else SecondLook(log=log, clock=clock, tasks=tasks),
    )
    recaller = Recaller(live=live, log=log, ids=ids, wall_clock=wall_clock, window_s=messages.recall_window_s)
    quotas = Quotas(
        limits=daily_limits(config.quotas),
        clock=clock,
        wall_clock=wall_clock,
        tasks=tasks,
        shared=None if cluster is None else cluster.day_counts,
    )
    trail = RefusalTrail(audit=audit, members=members)
    acks = Acks(quotas=quotas, trail=trail, clock=clock, record=record)
    screening = build_screening(
        config.content,
        text_bytes=config.gateway.text_bytes,
        reactor=reactor,
        clock=clock,
        wall_clock=wall_clock,
        bus=bus,
        submit=submit,
        held=reviews,
        acks=acks,
        log=log,
        sessions=registry,
        audit=audit,
        tasks=tasks,
    )
    outside = build_outside(
        enabled=config.webhook.enabled,
        appender=appender,
        ownership=None if neighbourhood is None else neighbourhood.ownership,
        log=log,
        tails=stores.tails,
        bus=bus,
        clock=clock,
        wall_clock=wall_clock,
        tasks=tasks,
    )
    traces = build_traces(config.tracing, tracer=tracer, clock=clock)
    requests = Requests(
        submit=submit,
        gate=screening.gate,
        acks=acks,
        live=live,
        fanout=fanout,
        neighbours=neighbours,
        receipts=receipts,
        catch_up=catch_up,
        recaller=recaller,
        others={
            "refreshToken": authenticator.refresh_token,
            "presenceSubscribeReq": watching.subscribe,
        },
        replies=replies,
        ids=ids,
        clock=clock,
        wall_clock=wall_clock,
        tasks=tasks,
        content_limits=ContentLimits(config.gateway.text_bytes, config.gateway.binary_bytes),
        trail=trail,
        quick=QuickRefusal(members=None if cluster is None else members, quotas=quotas, refusals=refusals),
        traces=traces,
    )
    gateway = Gateway(
        limits=gateway_limits(config.gateway),
        rates=rates(config.limits),
        registry=registry,
        flush=FlushTick(clock=clock, interval_s=config.gateway.flush_interval_ms / 1000),
        replies=replies,
        requests=requests,
        authenticator=authenticator,
        clock=clock,
        tasks=tasks,
        record=record,
    )
    drain = Drain(
        gateway=gateway,
        registry=registry,
        clock=clock,
        timeout_s=config.gateway.drain_timeout_s,
        remaining_share=config.gateway.drain_remaining_share,
    )
    sweep = TailSweep(
        live=live,
        log=log,
        fanout=fanout,
        tasks=tasks,
        clock=clock,
        interval_s=messages.sweep_interval_s,
        quiet=None if neighbourhood is None else neighbourhood.quiet_tails(log),
    )
    stages: list[tuple[str, Stage]] = [
        ("protobuf", FastProtobuf()),
        *stores.stages,
        ("presence", presence),
        ("audit log", audit),
        ("background work", Background(tasks)),
        ("what is remembered", record),
        *outside,
        ("permission channel", standing.watch),
        (
            "admitted messages",
            Settling(pending=[screening.gate, submit], neighbours=neighbours, receipts=receipts, clock=clock),
        ),
        *screening.stages,
        *among_nodes,
        (
            "invalidations",
            Revocations(
                bus=bus,
                members=members,
                restricted=restricted,
                gateway=gateway,
                sight=Sight(presence=presence, directory=directory, clock=clock, tasks=tasks),
                node=str(config.node_id),
                wall_clock=wall_clock,
            ),
        ),
        ("restricted users", restricted),
        ("daily quotas", quotas),
        ("last seqs", LastSeqs(bus=bus, log=log)),
        (
            "explanations",
            ExplainAnswers(
                node_id=config.node_id,
                bus=bus,
                log=log,
                places=stores.places,
                cursors=cursors,
                seen=stores.last_seen,
                record=record,
                sessions=registry,
            ),
        ),
        (
            "system messages",
            SystemMessages(bus=bus, submit=submit, revoker=Revoker(log=log), ids=ids, wall_clock=wall_clock),
        ),
        ("tail sweep", sweep),
        (
            "idle scan",
            IdleScan(
                gateway=gateway,
                registry=registry,
                clock=clock,
                wall_clock=wall_clock,
                tasks=tasks,
                timeouts=idle_timeouts(config.gateway),
            ),
        ),
        ("drain", drain),
    ]
    last_stages = [] if neighbourhood is None else neighbourhood.last_stages(ids=ids, drain=drain)
    in_force = CoreInForce(
        gateway=gateway,
        appender=appender,
        fanout=fanout,
        recaller=recaller,
        receipts=receipts,
        quotas=quotas,
        standing=standing,
        screening=screening,
        traces=traces,
    )
    sources = [
        gateway_source(gateway, registry, requests=requests, acks=acks, appender=appender, quotas=quotas),
        messages_source(appender, submit=submit, live=live, fanout=fanout, sweep=sweep),
        permission_source(standing, appender=appender, members=members, audit=audit, clock=clock),
        presence_source(presence),
        content_source(screening.gate, screening.hook),
        audit_source(audit),
        *stores.sources,
        *(() if neighbourhood is None else neighbourhood.sources),
    ]
    inside = CoreInside(gateway, registry, live, log, appender, standing.channel, neighbourhood, tasks)
    return CoreRole(stages, gateway, last_stages, neighbourhood, in_force, sources, inside, audit)
