"""Every metric there is. Nothing is exported that is not here, and what is here is exported by the roles it names.

Beside these each process has ``process_*`` (memory, CPU, file descriptors) and ``python_gc_*`` under the names that
the whole field uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from imd.ops.metrics import (
    of_bus,
    of_business,
    of_gateway,
    of_messages,
    of_nodes,
    of_permission,
    of_process,
    of_stores,
)
from imd.ops.metrics.model import Metric

#: By what they are about, in the order of the documentation.
SECTIONS: Mapping[str, tuple[Metric, ...]] = MappingProxyType(
    {
        "Every process": of_process.METRICS,
        "Gateway": of_gateway.METRICS,
        "Messages": of_messages.METRICS,
        "Permission": of_permission.METRICS,
        "Presence, routes and nodes": of_nodes.METRICS,
        "Bus": of_bus.METRICS,
        "Stores": of_stores.METRICS,
        "Business and admin": of_business.METRICS,
    }
)
CATALOGUE: Mapping[str, Metric] = MappingProxyType(
    {metric.name: metric for metrics in SECTIONS.values() for metric in metrics}
)

#: Names of the specification that nothing here answers to, and why.
ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        "memory_usage": "process_resident_memory_bytes, of every process",
        "nats_jetstream_messages_count": "nats-server's own: /jsz of its monitoring port",
        "hotspot_key_rate": "Redis's own: redis-cli --hotkeys; imd_redis_seconds shows what it costs",
    }
)
