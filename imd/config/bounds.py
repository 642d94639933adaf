"""What each number of the configuration may be."""

from __future__ import annotations

from typing import NamedTuple

from imd.config.section import KIB

DAY_S = 24 * 3600


#: A bound against slips of the keyboard only; not worth a word.
PLENTY = 1_000_000_000


class Range(NamedTuple):
    """From ``low`` to ``high``, both allowed."""

    low: float
    high: float = PLENTY

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def __str__(self) -> str:
        if self.high >= PLENTY:
            return f"{_number(self.low)} or more"
        return f"{_number(self.low)} to {_number(self.high)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


_RATE = Range(0)
_SHARE = Range(0, 1)

#: Every number has one; a test sees to it.
BOUNDS = {
    "node_id": Range(0, 1023),
    "gateway.max_connections": Range(1),
    "gateway.max_unauthenticated_share": Range(0.001, 1),
    "gateway.max_devices_per_user": Range(1, 1000),
    "gateway.auth_timeout_s": Range(0.1, 300),
    "gateway.heartbeat_interval_s": Range(0.1, 3600),
    "gateway.idle_timeout_s": Range(0.1, DAY_S),
    "gateway.frame_timeout_s": Range(0.1, 300),
    "gateway.token_grace_s": Range(0, 3600),
    "gateway.text_bytes": Range(1, 256 * KIB),
    "gateway.binary_bytes": Range(1, 256 * KIB),
    "gateway.queue_messages": Range(1),
    "gateway.queue_bytes": Range(KIB),
    "gateway.flush_interval_ms": Range(0, 1000),
    "gateway.drain_timeout_s": Range(0, 3600),
    "gateway.drain_remaining_share": _SHARE,
    **{f"quotas.{kind}_per_day": Range(0) for kind in ("text", "image", "audio", "video", "file")},
    "limits.user_text_per_min": _RATE,
    "limits.user_media_per_min": _RATE,
    "limits.user_burst": Range(1),
    "limits.conversation_per_s": _RATE,
    "limits.device_frames_per_s": _RATE,
    "limits.ip_frames_per_s": _RATE,
    "limits.ip_connects_per_s": _RATE,
    "limits.logins_per_min": _RATE,
    "limits.registrations_per_hour_per_ip": _RATE,
    "limits.user_requests_per_s": _RATE,
    "messages.batch_size": Range(1, 10_000),
    "messages.queue_size": Range(1),
    "messages.recall_window_s": Range(0),
    "messages.hint_members_online": Range(1),
    "messages.hint_body_bytes": Range(0, 256 * KIB),
    "messages.hint_fanout_ms": Range(1, 60_000),
    "messages.small_group_members": Range(2, 100_000),
    "messages.receipts_max_members": Range(0, 100_000),
    "messages.sweep_interval_s": Range(0.1, 3600),
    "permission.snapshot_s": Range(0.1, DAY_S),
    "permission.snapshot_hot_s": Range(0.1, DAY_S),
    "permission.snapshot_sensitive_s": Range(0.1, DAY_S),
    "permission.degraded_above_ms": Range(1, 60_000),
    "permission.timed_out_above_ms": Range(1, 60_000),
    "permission.degraded_share": _SHARE,
    "permission.timed_out_share": _SHARE,
    "permission.span_s": Range(1, 3600),
    "permission.min_questions": Range(1),
    "permission.open_after_failures": Range(0),
    "permission.open_share": _SHARE,
    "permission.open_share_s": Range(0, DAY_S),
    "permission.half_open_after_s": Range(0.1, DAY_S),
    "permission.probes_per_s": Range(0.1),
    "permission.close_share": _SHARE,
    "permission.close_after_s": Range(0, DAY_S),
    "permission.alert_share": _SHARE,
    "permission.alert_after_s": Range(0, DAY_S),
    "permission.deadline_large_ms": Range(1, 60_000),
    "permission.deadline_managed_ms": Range(1, 60_000),
    "permission.deadline_public_ms": Range(1, 60_000),
    "permission.deadline_ms": Range(1, 60_000),
    "permission.large_group_members": Range(2),
    "permission.release_min_level": Range(0, 1000),
    "permission.release_users_percent": Range(0, 100),
    "permission.sensitive_throttle_above": _SHARE,
    "permission.sensitive_throttle_to": _SHARE,
    "permission.ordinary_throttle_above": _SHARE,
    "permission.ordinary_throttle_to": _SHARE,
    "presence.merge_window_s": Range(0, 60),
    "presence.max_watched": Range(1, 100_000),
    "accounts.token_ttl_s": Range(1, DAY_S),
    "accounts.refresh_below_s": Range(1, DAY_S),
    "accounts.login_ttl_s": Range(1),
    "accounts.password_min_length": Range(1, 128),
    "accounts.hash_threads": Range(1, 64),
    "accounts.hash_queue": Range(1, 100_000),
    # All members of a conversation travel in one answer on the bus, at most 40 bytes each of 1 MB.
    "accounts.group_max_members": Range(2, 25_000),
    "accounts.device_failures": Range(0, 10_000),
    "accounts.device_window_s": Range(1, DAY_S),
    "accounts.device_ban_s": Range(1, 365 * DAY_S),
    "accounts.groups_per_user": Range(1),
    "audit.keep_days": Range(0, 36_500),
    "content.word_poll_s": Range(0.1, 3600),
    # A sender waits for it, with everything that comes after in the conversation.
    "content.hook_deadline_ms": Range(1, 5000),
    "content.hook_connections": Range(1, 1000),
    # A lease of a conversation's events has to outlast a POST.
    "webhook.timeout_s": Range(0.1, 30),
    "webhook.max_tries": Range(1, 100),
    "webhook.connections": Range(1, 1000),
    "tracing.sample_ratio": _SHARE,
    "tracing.chosen_per_s": Range(0, 1000),
    "tracing.file_mib": Range(1, 100_000),
    "tracing.timeout_s": Range(0.1, 60),
    "tracing.queue_spans": Range(1, 1_000_000),
    "tracing.batch_spans": Range(1, 10_000),
    "tracing.interval_s": Range(0.1, 60),
    "node.heartbeat_interval_s": Range(0.1, 60),
    "node.missed_heartbeats": Range(2, 100),
    "node.route_ttl_s": Range(10, DAY_S),
    "node.route_cache_users": Range(1),
    "node.route_cache_ttl_s": Range(0.1, 3600),
    "node.route_audit_interval_s": Range(1, DAY_S),
    "node.weight": Range(0, 10_000),
    "nats.replicas": Range(1, 5),
    "mongo.message_collections": Range(1, 256),
    "mongo.pool_size": Range(1, 100),
    "mongo.timeout_s": Range(0.1, 60),
    # The idempotency keys of at least 7 days are in the hot collections.
    "mongo.hot_days": Range(7, 3650),
    "mongo.archive_days": Range(0, 36_500),
    "redis.database": Range(0, 1023),
    "redis.timeout_ms": Range(1, 10_000),
    "manhole.idle_timeout_s": Range(1, DAY_S),
    "manhole.max_sessions": Range(1, 100),
    "log.lines_per_s": Range(0, 100_000),
    "sql.pool_size": Range(1, 100),
    "sql.timeout_s": Range(0.1, 60),
}
