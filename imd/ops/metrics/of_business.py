"""Of the authority: REST, logins, what is announced, webhooks, reviews; and of im-admin."""

from __future__ import annotations

from imd.ops.metrics.buckets import HISTORY, OUTSIDE
from imd.ops.metrics.model import ADMIN, AUTHORITIES, GATEWAYS, IM, Label, Metric, counter, gauge, histogram

#: From what lets a message through as it is, to what stops it.
VERDICTS = ("pass", "replace", "review", "refuse")

METRICS: tuple[Metric, ...] = (
    counter(
        "imd_rest_requests_total",
        "REST requests by the class of their status.",
        Label("status", ("2xx", "3xx", "4xx", "5xx")),
        roles=AUTHORITIES,
    ),
    histogram("imd_rest_seconds", "From a whole REST request to its answer.", HISTORY, roles=AUTHORITIES),
    gauge(
        "imd_password_slots_free",
        "Passwords that may still be hashed or wait for it; at 0 logins are refused.",
        roles=AUTHORITIES,
    ),
    gauge(
        "imd_invalidations_waiting",
        "Changes of rights and memberships that are stored, and not told to core yet.",
        roles=AUTHORITIES,
    ),
    counter(
        "imd_invalidations_given_up_total",
        "Such changes that this process gave up telling.",
        roles=AUTHORITIES,
    ),
    counter("imd_rechecks_total", "Released messages that were judged afterwards.", roles=AUTHORITIES),
    counter("imd_recheck_revocations_total", "Of these: taken back.", roles=AUTHORITIES),
    counter(
        "imd_webhook_events_total",
        "Posts of events to the outside that were taken, or failed; and events put aside after too many.",
        Label("result", ("taken", "failed", "dead")),
        roles=AUTHORITIES,
    ),
    histogram("imd_webhook_seconds", "How long a post of an event took.", OUTSIDE, roles=AUTHORITIES),
    gauge(
        "imd_webhook_breaker_open",
        "1 while events are not posted, since several failed in a row.",
        roles=AUTHORITIES,
    ),
    gauge("imd_webhook_busy", "Lines of events that are being posted.", roles=AUTHORITIES),
    counter(
        "imd_reviews_settled_total",
        "Approved reviews by what core did with them.",
        Label("result", ("stored", "refused")),
        roles=AUTHORITIES,
    ),
    counter("imd_reviews_put_off_total", "Approved reviews that core could not take yet.", roles=AUTHORITIES),
    counter(
        "imd_content_verdicts_total",
        "Messages by what the word lists and the hook say of them.",
        Label("verdict", VERDICTS),
        roles=GATEWAYS,
    ),
    gauge("imd_content_waiting", "Messages that wait for a verdict.", roles=GATEWAYS),
    counter(
        "imd_content_hook_failures_total",
        "Calls of the content hook without a verdict; there if hook_url is set.",
        roles=GATEWAYS,
    ),
    gauge(
        "imd_content_hook_breaker_open",
        "1 while the content hook is not asked, since several calls in a row failed; there if hook_url is set.",
        roles=GATEWAYS,
    ),
    counter(
        "imd_operators_refused_total",
        "Requests of operators that were refused: nobody's token, too many such from one address, a role that may not.",
        Label("reason", ("token", "rate", "role")),
        roles=(*AUTHORITIES, ADMIN),
    ),
    counter(
        "imd_settings_published_total",
        "Times that the bus took settings from this node; old ones are told again now and then.",
        roles=(IM, ADMIN),
    ),
)
