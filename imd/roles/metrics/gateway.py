"""What a gateway counts, and what is known of who is there."""

from __future__ import annotations

from collections.abc import Iterator

from imd.core.gateway.acks import Acks
from imd.core.gateway.gateway import Gateway
from imd.core.gateway.quotas import Quotas
from imd.core.gateway.registry import Registry
from imd.core.gateway.requests import Requests
from imd.core.gateway.traffic import Traffic
from imd.core.message.append import Appender
from imd.core.presence.presence import Presence
from imd.core.screening.gate import Gate
from imd.core.screening.http_hook import HttpHook
from imd.ops.metrics.of_business import VERDICTS
from imd.ops.metrics.of_gateway import BACKPRESSURE, PRIORITIES, RATES
from imd.ops.metrics.of_messages import OUTCOMES
from imd.ops.metrics.readings import Reading, Source, by_label


def gateway_source(
    gateway: Gateway,
    registry: Registry,
    *,
    requests: Requests,
    acks: Acks,
    appender: Appender,
    quotas: Quotas,
) -> Source:
    """Connections, frames, refusals, and how sends ended."""
    traffic = gateway.traffic

    def read() -> Iterator[Reading]:
        strangers = registry.stranger_count
        yield Reading("imd_connections", len(registry) - strangers, ("live",))
        yield Reading("imd_connections", strangers, ("stranger",))
        yield Reading("imd_connections_limit", gateway.max_connections)
        yield from _traffic(traffic)
        pressed = (
            traffic.write_blocked,
            traffic.sheds,
            traffic.cut_for_control,
            traffic.read_paused,
            appender.crowded_out,
        )
        yield from by_label("imd_backpressure_events_total", dict(zip(BACKPRESSURE, pressed, strict=True)))
        limited = (
            traffic.device_limited,
            traffic.address_limited,
            traffic.user_limited,
            appender.too_fast,
            quotas.refused,
        )
        yield from by_label("imd_rate_limited_total", dict(zip(RATES, limited, strict=True)))
        ended = (acks.stored_count, acks.duplicates, acks.failures, acks.delays, acks.holds)
        yield from by_label("imd_sends_total", dict(zip(OUTCOMES, ended, strict=True)))
        yield Reading("imd_ack_seconds", acks.ack_seconds)
        yield Reading("imd_history_fetch_seconds", requests.history_seconds)
        yield Reading("imd_sync_seconds", requests.sync_seconds)

    return read


def _traffic(traffic: Traffic) -> Iterator[Reading]:
    yield Reading("imd_connections_blocked", traffic.blocked)
    yield Reading("imd_connections_opened_total", traffic.opened)
    yield from by_label("imd_connections_refused_total", traffic.not_let_in)
    yield from by_label("imd_connections_closed_total", traffic.ended)
    yield Reading("imd_heartbeats_total", traffic.heartbeats)
    for name, inbound in traffic.inbound.items():
        yield Reading("imd_inbound_frames_total", inbound.frames, (name,))
        yield Reading("imd_inbound_bytes_total", inbound.size_bytes, (name,))
    yield from by_label("imd_outbound_frames_total", dict(zip(PRIORITIES, traffic.frames_out, strict=True)))
    yield Reading("imd_outbound_bytes_total", traffic.written_bytes)
    yield Reading("imd_outbound_writes_total", traffic.writes)
    yield from by_label("imd_refusals_total", {str(code): count for code, count in traffic.refusals.items()})


def presence_source(presence: Presence) -> Source:
    """Who is there, and who wants to know."""

    def read() -> Iterator[Reading]:
        counts = presence.counts()
        yield Reading("imd_users_online", counts["online"])
        yield Reading("imd_presence_watched_users", counts["watched"])
        yield Reading("imd_presence_watchers", counts["watchers"])
        yield Reading("imd_presence_flaps_total", presence.flaps)

    return read


def content_source(gate: Gate, hook: HttpHook | None) -> Source:
    """What messages were found to hold."""

    def read() -> Iterator[Reading]:
        yield from by_label("imd_content_verdicts_total", dict(zip(VERDICTS, gate.verdicts, strict=True)))
        yield Reading("imd_content_waiting", gate.unsettled)
        if hook is not None:
            yield Reading("imd_content_hook_failures_total", hook.failures)
            yield Reading("imd_content_hook_breaker_open", hook.is_resting)

    return read
