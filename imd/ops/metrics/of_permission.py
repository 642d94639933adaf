"""Of permission: what is known here, how the authority answers, what is done without it (spec 5.3, 5.4, 23.1)."""

from __future__ import annotations

from imd.ops.metrics.buckets import QUESTION
from imd.ops.metrics.model import AUTHORITIES, GATEWAYS, Label, Metric, counter, gauge, histogram

LEVELS = ("normal", "degraded", "timed_out")
BREAKER_STATES = ("closed", "open", "half_open")
QUESTION_RESULTS = ("answered", "timed_out", "failed", "held_back")

METRICS: tuple[Metric, ...] = (
    counter(
        "imd_auth_check_sends_total",
        "Sends by how they were judged: by what is remembered of the conversation, or after a question.",
        Label("by", ("cache", "question")),
        roles=GATEWAYS,
        spec="auth_check_qps",
    ),
    counter(
        "imd_auth_check_questions_total",
        "Questions to the authority by how they ended; held_back: not put, since the breaker is open.",
        Label("result", QUESTION_RESULTS),
        roles=GATEWAYS,
        spec="auth_check_qps",
    ),
    histogram(
        "imd_auth_check_seconds",
        "How long the authority took to answer, or not to.",
        QUESTION,
        roles=GATEWAYS,
    ),
    gauge(
        "imd_auth_check_channel_level",
        "1 for the column of the matrix by which messages are judged now (spec 23.1).",
        Label("level", LEVELS),
        roles=GATEWAYS,
    ),
    gauge(
        "imd_auth_check_breaker_state",
        "1 for the state of the breaker; while it is open the authority is not asked.",
        Label("state", BREAKER_STATES),
        roles=GATEWAYS,
    ),
    counter("imd_auth_check_breaker_opened_total", "How often the breaker opened.", roles=GATEWAYS),
    gauge(
        "imd_auth_check_failed_ratio", "Share of the latest questions that failed, 0 to 1.", roles=GATEWAYS
    ),
    counter(
        "imd_auth_check_alerts_total",
        "How often questions failed for so long that people were called (alert_share, alert_after_s).",
        roles=GATEWAYS,
    ),
    counter(
        "imd_auth_check_releases_total",
        "Messages let through without having been judged, to be looked at later.",
        roles=GATEWAYS,
    ),
    counter(
        "imd_auth_check_degraded_refusals_total",
        "Messages refused because nobody could judge them.",
        roles=GATEWAYS,
    ),
    gauge(
        "imd_auth_check_releases_waiting", "Releases that the audit log does not have yet.", roles=GATEWAYS
    ),
    gauge("imd_auth_check_snapshots", "Conversations of which the members are remembered.", roles=GATEWAYS),
    counter(
        "imd_auth_check_invalidations_total",
        "Conversations that became different from what was remembered.",
        roles=GATEWAYS,
    ),
    counter(
        "imd_authority_questions_total",
        "Questions that this authority has answered, by subject.",
        Label("subject", ("token", "members", "check", "restricted", "direct", "conversations", "visible")),
        roles=AUTHORITIES,
        spec="auth_check_qps",
    ),
    histogram(
        "imd_authority_seconds",
        "How long this authority took for an answer.",
        QUESTION,
        roles=AUTHORITIES,
    ),
)
