"""What the authority counts: answers, REST, logins, what it tells core, and the outside."""

from __future__ import annotations

from collections.abc import Iterator

from imd.business.accounts.passwords import Passwords
from imd.business.announce import BusAnnouncements
from imd.business.permission.authority import Authority
from imd.business.permission.recheck import Recheck
from imd.business.rest.api import Api
from imd.business.reviews.relay import ReviewRelay
from imd.business.webhooks.dispatch import Dispatcher
from imd.ops.metrics.readings import Reading, Source, by_label


def business_source(
    *,
    authority: Authority,
    api: Api,
    passwords: Passwords,
    announcements: BusAnnouncements,
    recheck: Recheck,
) -> Source:
    """Of the role."""

    def read() -> Iterator[Reading]:
        yield from by_label("imd_authority_questions_total", authority.answered.counts)
        yield Reading("imd_authority_seconds", authority.answered.seconds)
        yield from by_label("imd_rest_requests_total", api.answered)
        yield Reading("imd_rest_seconds", api.seconds)
        yield from by_label("imd_operators_refused_total", api.refused_operators)
        yield Reading("imd_password_slots_free", passwords.free)
        yield Reading("imd_invalidations_waiting", announcements.waiting)
        yield Reading("imd_invalidations_given_up_total", announcements.given_up)
        yield Reading("imd_rechecks_total", recheck.checked)
        yield Reading("imd_recheck_revocations_total", recheck.revoked)

    return read


def reviews_source(relay: ReviewRelay) -> Source:
    """What becomes of messages that a person approved."""

    def read() -> Iterator[Reading]:
        settled = {"stored": relay.stored, "refused": relay.refused}
        yield from by_label("imd_reviews_settled_total", settled)
        yield Reading("imd_reviews_put_off_total", relay.put_off)

    return read


def webhook_source(dispatcher: Dispatcher) -> Source:
    """What the outside is told; there is none where nobody is to be told anything."""

    def read() -> Iterator[Reading]:
        yield from by_label("imd_webhook_events_total", dispatcher.results)
        yield Reading("imd_webhook_seconds", dispatcher.seconds)
        yield Reading("imd_webhook_breaker_open", dispatcher.is_resting)
        yield Reading("imd_webhook_busy", dispatcher.busy)

    return read
