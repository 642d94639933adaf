"""Of every process."""

from __future__ import annotations

from imd.config.log import LOG_LEVELS
from imd.ops.metrics.buckets import LAG
from imd.ops.metrics.model import (
    BUSINESS,
    CLUSTER,
    CORE,
    EVERY_ROLE,
    IM,
    Label,
    Metric,
    counter,
    gauge,
    histogram,
)

METRICS: tuple[Metric, ...] = (
    gauge(
        "imd_build_info",
        "1; says which node this is, and what it was built from and runs on.",
        Label("node", at_most=1),
        Label("role", EVERY_ROLE),
        Label("version", at_most=1),
        Label("python", at_most=1),
        roles=EVERY_ROLE,
    ),
    gauge(
        "imd_ready", "1 while the node takes traffic, as /readyz says; 0 while it does not.", roles=EVERY_ROLE
    ),
    gauge(
        "imd_part_ready",
        "1 while this part of what /readyz asks for is well.",
        Label("part", at_most=8),
        roles=CLUSTER,
    ),
    gauge(
        "imd_certificate_expiry_timestamp_seconds",
        "Unix time at which the first certificate of the chain runs out that this process serves TLS with; there if it "
        "does.",
        roles=EVERY_ROLE,
    ),
    gauge(
        "imd_backup_timestamp_seconds",
        "Unix time of the moment that the last finished `imctl backup` of the data folder shows; before the first, when the "
        "folder was made or restored.",
        roles=("im",),
    ),
    gauge(
        "imd_settings_version",
        "The version of the operators' settings that is in force here; 0: the node's own file alone.",
        roles=EVERY_ROLE,
    ),
    counter(
        "imd_settings_refused_total",
        "Versions of the settings that this node could not use, so that the last good one stays.",
        roles=EVERY_ROLE,
    ),
    histogram(
        "imd_reactor_lag_seconds",
        "How much later than asked for a timer of the reactor went off, looked at ten times a second.",
        LAG,
        roles=EVERY_ROLE,
        spec="internal_call_latency",
    ),
    counter(
        "imd_audit_events_total",
        "Events that the bus has taken for the audit log.",
        roles=EVERY_ROLE,
    ),
    counter(
        "imd_audit_lost_total",
        "Audit events that were given up: the bus was away for too long, or the process ended.",
        roles=EVERY_ROLE,
    ),
    gauge(
        "imd_audit_waiting_events",
        "Audit events that the bus has not taken yet.",
        roles=EVERY_ROLE,
    ),
    counter(
        "imd_log_lines_total",
        "Lines for the log, those included that could not be written.",
        Label("level", LOG_LEVELS),
        roles=EVERY_ROLE,
    ),
    counter(
        "imd_log_lost_total",
        "Lines that could not be written: the disk was full, or nobody read the standard output.",
        roles=EVERY_ROLE,
    ),
    counter(
        "imd_log_held_back_total",
        "Lines of a flood that others stand for.",
        roles=EVERY_ROLE,
    ),
    counter(
        "imd_trace_spans_total",
        "Spans of traced messages: written; dropped, since too many waited; or failed, since nobody took them.",
        Label("outcome", ("written", "dropped", "failed")),
        roles=(IM, CORE, BUSINESS),
    ),
    gauge(
        "imd_trace_waiting_spans",
        "Spans that wait to be written, of queue_spans of [tracing] at most.",
        roles=(IM, CORE, BUSINESS),
    ),
    counter("imd_metrics_scrapes_total", "How often this page was made.", roles=EVERY_ROLE),
    counter(
        "imd_metrics_failures_total",
        "Parts of this page that could not be made and are missing; the log says why.",
        roles=EVERY_ROLE,
    ),
)
