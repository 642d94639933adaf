"""One node in figures: from two scrapes of it, or from one."""

from __future__ import annotations

from math import isfinite

from msgspec import Struct

from imd.ctl.top.samples import Change, Samples


class Figures(Struct, frozen=True, omit_defaults=True):
    """What is shown of a node; None: it does not say, or nothing happened. Times are in seconds."""

    address: str
    down: str = ""
    """Why there is no answer; empty: there is one."""
    not_ready: tuple[str, ...] = ()
    """Parts without which the node takes no traffic."""
    node: str = ""
    role: str = ""
    version: str = ""
    settings_version: int | None = None
    up_s: float | None = None
    cpu_share: float | None = None
    """Of one core."""
    memory_bytes: float | None = None
    reactor_lag_p99_s: float | None = None
    connections: int | None = None
    sends_per_s: float | None = None
    """What clients here send."""
    deliveries_per_s: float | None = None
    """Messages times connections here that they are pushed to."""
    stored_per_s: float | None = None
    """What this node writes: messages of its own shards, wherever they were sent."""
    ack_p50_s: float | None = None
    ack_p99_s: float | None = None
    write_p50_s: float | None = None
    write_p99_s: float | None = None
    checks_per_s: float | None = None
    """Permission questions that this node asks or, as an authority, answers."""
    check_p99_s: float | None = None
    queued: int | None = None
    """Sends without a final answer yet."""
    shed_per_s: float | None = None
    """Queues of slow clients that were dropped, and sends that were refused above a water mark."""
    shards: int | None = None
    dead_letters: int | None = None
    """Events given up since the node's start."""
    breakers_open: tuple[str, ...] = ()
    away: tuple[str, ...] = ()
    """Servers that it goes on without, worse than with them."""


def down(address: str, why: str, *, node: str = "") -> Figures:
    """Of a node that does not answer.

    :param node: what it is called, as far as is known.
    """
    return Figures(address=address, down=why, node=node)


def figures(address: str, before: Samples | None, now: Samples, *, wall_s: float) -> Figures:
    """Of one that does.

    :param before: the scrape before; without it there are no rates and no latencies.
    :param wall_s: Unix time.
    """
    change = Change(now if before is None else before, now)
    started_s = now.sum("process_start_time_seconds")
    asks = "imd_auth_check" if now.sum("imd_auth_check_questions_total") is not None else "imd_authority"
    return Figures(
        address=address,
        not_ready=_not_ready(now),
        node=now.label("imd_build_info", "node"),
        role=now.label("imd_build_info", "role"),
        version=now.label("imd_build_info", "version"),
        settings_version=now.count("imd_settings_version"),
        up_s=None if started_s is None else max(wall_s - started_s, 0.0),
        cpu_share=change.rate("process_cpu_seconds_total"),
        memory_bytes=now.sum("process_resident_memory_bytes"),
        reactor_lag_p99_s=change.quantile(0.99, "imd_reactor_lag_seconds"),
        connections=now.count("imd_connections"),
        sends_per_s=change.rate("imd_inbound_frames_total", type="send"),
        deliveries_per_s=change.rate("imd_fanout_deliveries_total"),
        stored_per_s=change.rate("imd_messages_stored_total"),
        ack_p50_s=change.quantile(0.5, "imd_ack_seconds"),
        ack_p99_s=change.quantile(0.99, "imd_ack_seconds"),
        write_p50_s=change.quantile(0.5, "imd_write_seconds"),
        write_p99_s=change.quantile(0.99, "imd_write_seconds"),
        checks_per_s=change.rate(f"{asks}_questions_total"),
        check_p99_s=change.quantile(0.99, f"{asks}_seconds"),
        queued=now.count("imd_sends_unsettled"),
        shed_per_s=_sum(
            change.rate("imd_backpressure_events_total", event="queue_shed"),
            change.rate("imd_backpressure_events_total", event="admission_refused"),
        ),
        shards=now.count("imd_shards_owned"),
        dead_letters=_whole(
            _sum(now.sum("imd_nats_dead_letters_total"), now.sum("imd_local_bus_dead_letters_total"))
        ),
        breakers_open=_breakers(now),
        away=("Redis",) if now.sum("imd_redis_connected") == 0 else (),
    )


def _not_ready(now: Samples) -> tuple[str, ...]:
    if now.sum("imd_ready") != 0:
        return ()
    parts = now.by("imd_part_ready", "part")
    return tuple(part for part, well in parts.items() if not well) or ("node",)


def _breakers(now: Samples) -> tuple[str, ...]:
    named = {
        "permission questions": now.sum("imd_auth_check_breaker_state", state="open"),
        "the webhook": now.sum("imd_webhook_breaker_open"),
        "the content hook": now.sum("imd_content_hook_breaker_open"),
    }
    return tuple(name for name, is_open in named.items() if is_open)


def _sum(*values: float | None) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _whole(value: float | None) -> int | None:
    return None if value is None or not isfinite(value) else int(value)
