"""The whole system on one page: is it well, how much does it do, who is late."""

from __future__ import annotations

from imd.ops.boards.model import Board, Panel, Query, Row
from imd.ops.boards.queries import chosen, quantile, rate

_JOBS = 'job=~"im|im-core|im-business|im-admin"'

BOARD = Board(
    "overview",
    "Overview",
    "Is imd well, how much does it do, and where to look next.",
    (
        Row(
            "Now",
            (
                Panel(
                    "Alerts",
                    "Alerts that fire; docs/alerts.rst says what to do about each.",
                    "short",
                    (Query('count(ALERTS{alertstate="firing", alertname=~"Imd.*"}) or vector(0)', "alerts"),),
                    kind="stat",
                    bad_above=1,
                ),
                Panel(
                    "Nodes down",
                    "Nodes that do not answer at their metrics port.",
                    "short",
                    (Query(f"count(up{{{_JOBS}}} == 0) or vector(0)", "nodes"),),
                    kind="stat",
                    bad_above=1,
                ),
                Panel(
                    "Nodes not ready",
                    "Nodes that answer, and take no traffic: /readyz says why.",
                    "short",
                    (Query("count(imd_ready == 0) or vector(0)", "nodes"),),
                    kind="stat",
                    bad_above=1,
                ),
                Panel(
                    "Connections",
                    "Open connections of clients, all nodes together.",
                    "short",
                    (Query("sum(imd_connections)", "connections"),),
                    kind="stat",
                ),
                Panel(
                    "Messages stored",
                    "Messages that became durable, a second.",
                    "cps",
                    (Query("sum(rate(imd_messages_stored_total[$__rate_interval]))", "stored"),),
                    kind="stat",
                ),
                Panel(
                    "Version of the settings",
                    "The highest and the lowest version that nodes run: one number, or some have not taken the newest.",
                    "none",
                    (
                        Query("max(imd_settings_version)", "highest"),
                        Query("min(imd_settings_version)", "lowest"),
                    ),
                    kind="stat",
                ),
            ),
        ),
        Row(
            "What users notice",
            (
                Panel(
                    "Sends by what they were told",
                    "A second, at the nodes of their senders. delayed is no end, but says that one is late.",
                    "cps",
                    (Query(rate("imd_sends_total", by="outcome"), "{{outcome}}"),),
                    stack=True,
                ),
                Panel(
                    "From a send to its STORED",
                    "At the node of the sender: permission, seq, the write, and the way between nodes.",
                    "s",
                    (
                        Query(quantile(0.5, "imd_ack_seconds", by="job"), "{{job}} p50"),
                        Query(quantile(0.99, "imd_ack_seconds", by="job"), "{{job}} p99"),
                    ),
                ),
                Panel(
                    "Deliveries",
                    "Messages times connections that they were pushed to, a second.",
                    "cps",
                    (Query(rate("imd_fanout_deliveries_total"), "{{instance}}"),),
                    stack=True,
                ),
            ),
        ),
        Row(
            "Processes",
            (
                Panel(
                    "Reactor lag",
                    "How late timers go off (99th percentile): everybody on that node waits so long.",
                    "s",
                    (Query(quantile(0.99, "imd_reactor_lag_seconds"), "{{instance}}"),),
                ),
                Panel(
                    "CPU",
                    "Of one core. A node's reactor has one; at 100 % it needs another node beside it.",
                    "percentunit",
                    (
                        Query(
                            f"rate({chosen('process_cpu_seconds_total', _JOBS)}[$__rate_interval])",
                            "{{instance}}",
                        ),
                    ),
                ),
                Panel(
                    "Memory",
                    "Resident memory of each process.",
                    "bytes",
                    (Query(chosen("process_resident_memory_bytes", _JOBS), "{{instance}}"),),
                ),
                Panel(
                    "File descriptors in use",
                    "Of those that the process may have; each connection is one.",
                    "percentunit",
                    (
                        Query(
                            f"{chosen('process_open_fds', _JOBS)} / {chosen('process_max_fds', _JOBS)}",
                            "{{instance}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "What is kept of what happened",
            (
                Panel(
                    "Parts that are away",
                    "Servers that a node needs and that do not answer it. Nothing is drawn while all do.",
                    "short",
                    (Query(f"{chosen('imd_part_ready')} == 0", "{{instance}} {{part}}"),),
                ),
                Panel(
                    "Audit events that wait",
                    "For the bus to take them. They are lost if it takes none for too long.",
                    "short",
                    (Query(chosen("imd_audit_waiting_events"), "{{instance}}"),),
                ),
                Panel(
                    "Certificates and backups",
                    "How long each process's certificate for TLS still lasts, and how old the last backup is.",
                    "s",
                    (
                        Query(
                            f"{chosen('imd_certificate_expiry_timestamp_seconds')} - time()",
                            "{{instance}} certificate",
                        ),
                        Query(f"time() - {chosen('imd_backup_timestamp_seconds')}", "{{instance}} backup"),
                    ),
                ),
                Panel(
                    "Settings refused",
                    "Versions that a node could not use; it stays with its last good one.",
                    "short",
                    (
                        Query(
                            f"increase({chosen('imd_settings_refused_total')}[$__rate_interval])",
                            "{{instance}}",
                        ),
                    ),
                ),
            ),
        ),
    ),
)
