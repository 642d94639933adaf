"""What of the business role's configuration can change while it runs: rates of REST, and whether anybody may register."""

from __future__ import annotations

from imd.config.role_settings import BusinessSettings
from imd.kernel.attempts import Attempts
from imd.kernel.clocks import Clock

#: So many seconds' worth of requests at once.
_REQUEST_BURST_S = 10


class BusinessInForce:
    """Holds what is judged by these values; they hold from the next request on."""

    def __init__(self, config: BusinessSettings, *, clock: Clock) -> None:
        self.logins = Attempts(rate_per_s=0, burst=0, what="login attempts", clock=clock)
        self.registrations = Attempts(
            rate_per_s=0, burst=0, what="registrations from this address", clock=clock
        )
        self.requests = Attempts(rate_per_s=0, burst=0, what="requests", clock=clock)
        self._registration = config.accounts.registration
        self.change(config, 0)

    def change(self, config: BusinessSettings, version: int) -> None:
        """See ``SettingsSeen``."""
        limits = config.limits
        self.logins.change(rate_per_s=limits.logins_per_min / 60, burst=limits.logins_per_min)
        self.registrations.change(
            rate_per_s=limits.registrations_per_hour_per_ip / 3600, burst=limits.registrations_per_hour_per_ip
        )
        self.requests.change(
            rate_per_s=limits.user_requests_per_s, burst=_REQUEST_BURST_S * limits.user_requests_per_s
        )
        self._registration = config.accounts.registration

    @property
    def attempts(self) -> dict[str, Attempts]:
        """All that is counted, by what it is."""
        return {"logins": self.logins, "registrations": self.registrations, "requests": self.requests}

    def is_open_to_all(self) -> bool:
        """Whether anybody may register."""
        return self._registration
