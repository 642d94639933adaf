"""Who may do what: what core asks, what business answers, what is done without an answer."""

from __future__ import annotations

from imd.ops.boards.model import Board, Panel, Query, Row
from imd.ops.boards.queries import chosen, latency, rate

BOARD = Board(
    "permission",
    "Permission and the authority",
    "What core asks and business answers, what happens without an answer, and the REST side of business.",
    (
        Row(
            "Questions",
            (
                Panel(
                    "Sends, by how they were judged",
                    "By what is remembered of the conversation, or after a question; a second.",
                    "cps",
                    (Query(rate("imd_auth_check_sends_total", by="by"), "{{by}}"),),
                    stack=True,
                ),
                Panel(
                    "Questions, by how they ended",
                    "A second. held_back: not asked, since the breaker is open.",
                    "cps",
                    (Query(rate("imd_auth_check_questions_total", by="result"), "{{result}}"),),
                    stack=True,
                ),
                latency(
                    "imd_auth_check_seconds",
                    "Time of a question",
                    "100 ms makes the channel degraded, after 300 ms nobody waits any more.",
                ),
                Panel(
                    "Without an answer",
                    "Share of the questions. 5 % for a minute degrades, 10 % for five minutes calls people.",
                    "percentunit",
                    (Query(chosen("instance:imd_auth_check_failures:ratio1m"), "{{instance}}"),),
                ),
            ),
        ),
        Row(
            "Without an answer",
            (
                Panel(
                    "Degraded",
                    "1 for a node whose column of the matrix is not the normal one.",
                    "short",
                    (
                        Query(
                            chosen("imd_auth_check_channel_level", 'level!="normal"'),
                            "{{instance}} {{level}}",
                        ),
                    ),
                ),
                Panel(
                    "Breaker",
                    "1 while a node does not ask, or only tries.",
                    "short",
                    (
                        Query(
                            chosen("imd_auth_check_breaker_state", 'state!="closed"'),
                            "{{instance}} {{state}}",
                        ),
                    ),
                ),
                Panel(
                    "Unjudged",
                    "Messages that were let through, and that were refused, because nobody could judge them; a second.",
                    "cps",
                    (
                        Query(rate("imd_auth_check_releases_total"), "{{instance}} let through"),
                        Query(rate("imd_auth_check_degraded_refusals_total"), "{{instance}} refused"),
                    ),
                ),
                Panel(
                    "Judged afterwards",
                    "Released messages that were judged later, and those taken back, a second.",
                    "cps",
                    (
                        Query(rate("imd_rechecks_total"), "{{instance}} judged"),
                        Query(rate("imd_recheck_revocations_total"), "{{instance}} taken back"),
                    ),
                ),
            ),
        ),
        Row(
            "What is remembered",
            (
                Panel(
                    "Conversations remembered",
                    "Of which the node has the members at hand.",
                    "short",
                    (Query(chosen("imd_auth_check_snapshots"), "{{instance}}"),),
                ),
                Panel(
                    "Changed",
                    "Conversations that became different from what was remembered, a second.",
                    "cps",
                    (Query(rate("imd_auth_check_invalidations_total"), "{{instance}}"),),
                ),
                Panel(
                    "Changes not told yet",
                    "Stored by business, and not told to core. 0 but for moments.",
                    "short",
                    (Query(chosen("imd_invalidations_waiting"), "{{instance}}"),),
                ),
            ),
        ),
        Row(
            "The authority",
            (
                Panel(
                    "Answered, by subject",
                    "Questions of core nodes, a second.",
                    "cps",
                    (Query(rate("imd_authority_questions_total", by="subject"), "{{subject}}"),),
                    stack=True,
                ),
                latency("imd_authority_seconds", "Time of an answer", "In business, its database included."),
                Panel(
                    "REST, by status",
                    "Requests a second. 5xx are ours.",
                    "cps",
                    (Query(rate("imd_rest_requests_total", by="status"), "{{status}}"),),
                    stack=True,
                ),
                latency(
                    "imd_rest_seconds", "Time of a REST request", "From the whole request to its answer."
                ),
            ),
        ),
        Row(
            "Logins, content and webhooks",
            (
                Panel(
                    "Room for passwords",
                    "That may still be hashed or wait for it; at 0 logins are refused.",
                    "short",
                    (Query(chosen("imd_password_slots_free"), "{{instance}}"),),
                ),
                Panel(
                    "Content, by verdict",
                    "What word lists and the hook say of messages, a second.",
                    "cps",
                    (Query(rate("imd_content_verdicts_total", by="verdict"), "{{verdict}}"),),
                    stack=True,
                ),
                Panel(
                    "Content hook",
                    "Calls without a verdict, a second; 1 while it is left alone for a while.",
                    "short",
                    (
                        Query(rate("imd_content_hook_failures_total"), "{{instance}} failed"),
                        Query(chosen("imd_content_hook_breaker_open"), "{{instance}} left alone"),
                    ),
                ),
                Panel(
                    "Content and reviews that wait",
                    "Messages that wait for a verdict, and approved reviews that core could not take yet, a second.",
                    "short",
                    (
                        Query(chosen("imd_content_waiting"), "{{instance}} for a verdict"),
                        Query(rate("imd_reviews_put_off_total"), "{{instance}} for core"),
                    ),
                ),
                Panel(
                    "Webhook, by result",
                    "Events posted, a second. dead: given up.",
                    "cps",
                    (Query(rate("imd_webhook_events_total", by="result"), "{{result}}"),),
                    stack=True,
                ),
                latency("imd_webhook_seconds", "Time of a post", "Of an event to your webhook."),
            ),
        ),
    ),
)
