"""[quotas]: how many messages of each kind a user may send a day (spec 5.1)."""

from __future__ import annotations

from imd.config.section import Section


class Quotas(Section, frozen=True):
    """Messages of a user a day, UTC, over all devices and nodes (spec 5.1). 0: no limit. Then 1005 with the
    reason "quota" and the time until midnight."""

    text_per_day: int = 0
    """Whatever is no medium."""
    image_per_day: int = 0
    audio_per_day: int = 0
    video_per_day: int = 0
    file_per_day: int = 0
