"""How permissions are judged, and how the authority answers."""

from __future__ import annotations

from collections.abc import Iterator

from imd.bus.audit import AuditLog
from imd.core.message.append import Appender
from imd.core.permission.snapshots import MembershipCache
from imd.kernel.clocks import Clock
from imd.ops.metrics.of_permission import BREAKER_STATES, LEVELS
from imd.ops.metrics.readings import Reading, Source, by_label, one_of
from imd.roles.standing import Standing


def permission_source(
    standing: Standing, *, appender: Appender, members: MembershipCache, audit: AuditLog, clock: Clock
) -> Source:
    """Of a core node."""
    channel, asking, releases = standing.channel, standing.asking, standing.releases

    def read() -> Iterator[Reading]:
        now_s = clock.seconds()
        judged = {"cache": appender.judged_at_once, "question": appender.judged_later}
        yield from by_label("imd_auth_check_sends_total", judged)
        yield from by_label("imd_auth_check_questions_total", asking.results)
        yield Reading("imd_auth_check_seconds", asking.seconds)
        yield from one_of("imd_auth_check_channel_level", LEVELS, LEVELS[channel.level(now_s)])
        state = channel.breaker.value.replace("-", "_")
        yield from one_of("imd_auth_check_breaker_state", BREAKER_STATES, state)
        yield Reading("imd_auth_check_breaker_opened_total", channel.openings)
        yield Reading("imd_auth_check_failed_ratio", channel.share(now_s))
        yield Reading("imd_auth_check_alerts_total", standing.watch.alerts)
        yield Reading("imd_auth_check_releases_total", releases.released)
        yield Reading("imd_auth_check_degraded_refusals_total", releases.refusals)
        yield Reading("imd_auth_check_releases_waiting", audit.releases_waiting)
        yield Reading("imd_auth_check_snapshots", len(members))
        yield Reading("imd_auth_check_invalidations_total", members.invalidations)

    return read
