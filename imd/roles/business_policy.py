"""Reviews and webhooks as the business role puts them together."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from imd.bus.port import Bus
from imd.business.audit.ports import Audit
from imd.business.groups.direct import OpenDirect
from imd.business.permission.check import CheckRights
from imd.business.permission.tickets import Tickets
from imd.business.rest.operation import Operation
from imd.business.rest.reviews import ReviewApi
from imd.business.rest.webhooks import WebhookApi
from imd.business.reviews.hold import HoldForReview
from imd.business.reviews.relay import ReviewRelay
from imd.business.reviews.sql import SqlReviews
from imd.business.webhooks.dispatch import Dispatcher, Posts
from imd.business.webhooks.outbox import Outbox
from imd.business.webhooks.sql import SqlEvents
from imd.business.webhooks.stored import KeepStored
from imd.config.policy import BusinessWebhook
from imd.hooks.agent import hook_agent
from imd.hooks.breaker import Breaker
from imd.hooks.post import SignedPosts
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.ids import Snowflake
from imd.kernel.lifecycle import Stage
from imd.kernel.tasks import Tasks
from imd.ops.metrics.readings import Source
from imd.roles.metrics.business import reviews_source, webhook_source
from imd.roles.secrets import password
from imd.storage.sql import Database


class PolicyParts(NamedTuple):
    """What the rest of the role needs."""

    stages: list[tuple[str, Stage]]
    operations: list[Operation]
    #: What is counted.
    sources: list[Source]


def build_outbox(webhook: BusinessWebhook) -> Outbox:
    """For everybody whose changes the outside is told of, in the transactions of these changes."""
    return Outbox(kinds=webhook.events if webhook.url else ())


def webhook_posts(
    webhook: BusinessWebhook, *, reactor: Any, clock: Clock, wall_clock: WallClock
) -> Posts | None:
    """What reaches the operator's server; None: there is none.

    :raises StartupError: the secret cannot be read.
    """
    if not webhook.url:
        return None
    return SignedPosts(
        agent=hook_agent(reactor, connections=webhook.connections, allow_link_local=webhook.allow_link_local),
        url=webhook.url,
        secret=password("webhook", webhook.secret_file).encode(),
        clock=clock,
        wall_clock=wall_clock,
        timeout_s=webhook.timeout_s,
    )


def build_policy(
    webhook: BusinessWebhook,
    *,
    node_id: int,
    posts: Posts | None,
    outbox: Outbox,
    database: Database,
    bus: Bus,
    check: CheckRights,
    open_direct: OpenDirect,
    tickets: Tickets,
    audit: Audit,
    ids: Snowflake,
    clock: Clock,
    wall_clock: WallClock,
    tasks: Tasks,
) -> PolicyParts:
    """Every object, each with what it needs and no more."""
    reviews = SqlReviews(database, outbox=outbox)
    relay = ReviewRelay(
        reviews=reviews, open_direct=open_direct, bus=bus, clock=clock, wall_clock=wall_clock, tasks=tasks
    )
    hold = HoldForReview(
        bus=bus,
        reviews=reviews,
        check=check,
        tickets=tickets,
        audit=audit,
        ids=ids,
        wall_clock=wall_clock,
    )
    events = SqlEvents(database, outbox=outbox)
    stages: list[tuple[str, Stage]] = [("reviews", hold), ("decided reviews", relay)]
    sources = [reviews_source(relay)]
    wake: Callable[[], None] = _nobody
    if posts is not None:
        dispatcher = Dispatcher(
            owner=f"business-{node_id}",
            events=events,
            posts=posts,
            wants=outbox.wants,
            breaker=Breaker(clock=clock),
            connections=webhook.connections,
            max_tries=webhook.max_tries,
            timeout_s=webhook.timeout_s,
            clock=clock,
            wall_clock=wall_clock,
            random=Random().random,
            tasks=tasks,
        )
        wake = dispatcher.wake
        sources.append(webhook_source(dispatcher))
        keep = KeepStored(bus=bus, events=events, added=wake, clock=clock, wall_clock=wall_clock)
        stages += [("webhooks", dispatcher), ("stored messages", keep)]
    operations = [
        *ReviewApi(reviews=reviews, decided=relay.wake, audit=audit, wall_clock=wall_clock).operations(),
        *WebhookApi(events=events, wake=wake, audit=audit, wall_clock=wall_clock).operations(),
    ]
    return PolicyParts(stages, operations, sources)


def _nobody() -> None:
    """Nobody sends anything here; what is dead waits until somebody does."""
