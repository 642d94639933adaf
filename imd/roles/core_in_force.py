"""What of the core role's configuration can change while it runs, and who has to know."""

from __future__ import annotations

from collections.abc import Sequence

from imd.config import sections
from imd.config.gray import Target
from imd.config.quotas import Quotas as QuotasSection
from imd.config.role_settings import CoreSettings
from imd.core.gateway.gateway import Gateway
from imd.core.gateway.limits import GrayRates, Rates
from imd.core.gateway.quotas import DailyLimits, Quotas
from imd.core.gateway.traces import Traces
from imd.core.message.append import Appender
from imd.core.message.fanout import Fanout, HintThresholds
from imd.core.message.recall import Recaller
from imd.core.message.receipts import Receipts
from imd.roles.screening import Screening
from imd.roles.standing import Standing


class CoreInForce:
    """Hands new values to the running parts; they hold from the next message on."""

    def __init__(
        self,
        *,
        gateway: Gateway,
        appender: Appender,
        fanout: Fanout,
        recaller: Recaller,
        receipts: Receipts,
        quotas: Quotas,
        standing: Standing,
        screening: Screening,
        traces: Traces | None,
    ) -> None:
        self._gateway = gateway
        self._appender = appender
        self._fanout = fanout
        self._recaller = recaller
        self._receipts = receipts
        self._quotas = quotas
        self._standing = standing
        self._screening = screening
        self._traces = traces
        self._gray: GrayRates | None = None

    def wrong(self, config: CoreSettings) -> Sequence[str]:
        """What of a configuration this node cannot use, beyond types and ranges."""
        return self._screening.wrong(config.content)

    def take_gray(self, config: CoreSettings | None, target: Target | None) -> None:
        """What some users have instead, with the change that comes now; None: nobody has anything else."""
        self._gray = None if config is None or target is None else GrayRates(rates(config.limits), target)

    def gray_users(self) -> int:
        """How many users here have it."""
        return self._gateway.gray_user_count()

    def change(self, config: CoreSettings, version: int) -> None:
        """See ``SettingsSeen``."""
        self._standing.change(config.permission, version)
        self._screening.take_settings(config.content)
        self._gateway.change_rates(rates(config.limits), self._gray)
        self._quotas.limits = daily_limits(config.quotas)
        self._appender.conversation_per_s = config.limits.conversation_per_s
        self._fanout.thresholds = hint_thresholds(config.messages)
        self._recaller.window_ms = int(config.messages.recall_window_s * 1000)
        self._receipts.max_members = config.messages.receipts_max_members
        if self._traces is not None:
            self._traces.change(ratio=config.tracing.sample_ratio, chosen_per_s=config.tracing.chosen_per_s)


def rates(limits: sections.CoreLimits) -> Rates:
    """[limits] as the gateway takes them."""
    return Rates(
        user_text_per_min=limits.user_text_per_min,
        user_media_per_min=limits.user_media_per_min,
        user_burst=limits.user_burst,
        device_frames_per_s=limits.device_frames_per_s,
        ip_frames_per_s=limits.ip_frames_per_s,
        ip_connects_per_s=limits.ip_connects_per_s,
    )


def daily_limits(section: QuotasSection) -> DailyLimits:
    """[quotas] as the gateway takes them."""
    return DailyLimits(
        text=section.text_per_day,
        image=section.image_per_day,
        audio=section.audio_per_day,
        video=section.video_per_day,
        file=section.file_per_day,
    )


def hint_thresholds(messages: sections.Messages) -> HintThresholds:
    """[messages] as the fan-out takes them."""
    return HintThresholds(
        members_online=messages.hint_members_online,
        body_bytes=messages.hint_body_bytes,
        fanout_s=messages.hint_fanout_ms / 1000,
        small_group_members=messages.small_group_members,
    )
