"""Which settings are in force, and who publishes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from imd.admin.settings.publish import PublishSettings
from imd.ops.metrics.readings import Reading, Source
from imd.roles.settings_seen import SettingsSeen


def settings_source(seen: SettingsSeen[Any]) -> Source:
    """Of a node that follows them."""

    def read() -> Iterator[Reading]:
        yield Reading("imd_settings_version", seen.version)
        yield Reading("imd_settings_refused_total", seen.refusals)

    return read


def publishing_source(publish: PublishSettings) -> Source:
    """Of the node that tells them."""

    def read() -> Iterator[Reading]:
        yield Reading("imd_settings_published_total", publish.published)

    return read
