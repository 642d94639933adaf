"""Use case: devices that guess passwords are kept out for a while.

A device's id is what it says it is, and people choose ids like "phone": so whoever fails must not be able to bar
somebody else's device by saying its id, from the next desk or from behind the same address of a provider. Hence:

- What is barred is a device at an address; the same id elsewhere is not concerned.
- A device on which anybody is logged in is not barred by failures that only claim its id: whoever logged in there
  gave a right password, whoever fails gave none. Guessing at other accounts from it is still as slow as
  ``limits.logins_per_min`` has it, and would go on under a made-up id anyway.
- Failures that came with a token of the device, where the password is asked once more (to change it, to delete the
  account), are that device's for sure: then its login ends too, unless others are logged in under the same id.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from imd.bus.audit import DONE, MEDIUM, AuditEntry
from imd.business.accounts.model import Revocation
from imd.business.accounts.ports import Announcements, Ban, DeviceBanList
from imd.business.accounts.sessions import SessionCache
from imd.business.audit.ports import Audit
from imd.kernel.attempts import address_key
from imd.kernel.clocks import WallClock
from imd.kernel.errors import Forbidden, ImError, OutcomeUnknown

#: How often what is over is swept out of the table, by each node.
_SWEEP_MS = 60_000


class DeviceBans:
    """Counts failures, and bars. A limit of 0 switches it off.

    :param failures: so many within ``window_ms`` bar a device for ``ban_ms``.
    """

    def __init__(
        self,
        *,
        ban_list: DeviceBanList,
        sessions: SessionCache,
        announcements: Announcements,
        audit: Audit,
        wall_clock: WallClock,
        failures: int,
        window_ms: int,
        ban_ms: int,
    ) -> None:
        self._list = ban_list
        self._sessions = sessions
        self._announcements = announcements
        self._audit = audit
        self._wall_clock = wall_clock
        self._failures = failures
        self._window_ms = window_ms
        self._ban_ms = ban_ms
        self._swept_ms = 0

    async def check(self, device_id: str, address: str) -> None:
        """Forbidden while the device is barred here."""
        if not self._failures:
            return
        now_ms = self._wall_clock()
        until_ms = await self._list.banned_until(device_id, address_key(address))
        if until_ms > now_ms:
            raise Forbidden(
                "this device has failed to log in too often; try again tomorrow, or ask who runs this server",
                field="deviceId",
                reason="device_barred",
                retry_after_ms=until_ms - now_ms,
            )

    async def failed(self, device_id: str, address: str, *, user_id: int = 0) -> None:
        """A wrong password was given; ``user_id``: with a token of this user on this very device.

        The answer to the failure is the same whether it could be counted or not.
        """
        if not self._failures:
            return
        now_ms = self._wall_clock()
        key = address_key(address)
        try:
            await self._sweep(now_ms)
            count = await self._list.count(device_id, key, now_ms, window_ms=self._window_ms)
            if count < self._failures:
                return
            until_ms = now_ms + self._ban_ms
            ended = await self._list.bar(device_id, key, now_ms, until_ms=until_ms, user_id=user_id)
        except OutcomeUnknown:
            await self._revoked(user_id, device_id, ())
        except ImError:
            return
        else:
            if ended is not None:
                self._write_down(device_id, key, user_id)
            if ended:
                await self._revoked(user_id, device_id, ended)

    def _write_down(self, device_id: str, key: str, user_id: int) -> None:
        detail = msgspec.json.encode({"deviceId": device_id, "address": key}).decode()
        entry = AuditEntry(
            "device.bar", DONE, "too_many_failures", subject_id=user_id, level=MEDIUM, detail=detail
        )
        self._audit.record(entry)

    async def _revoked(self, user_id: int, device_id: str, login_ids: Sequence[str]) -> None:
        if user_id:
            self._sessions.forget(user_id)
            revocation = Revocation(user_id, device_id, "", "device_barred", login_ids)
            await self._announcements.revoked(revocation)

    async def bans(self, *, after: tuple[str, str], limit: int) -> Sequence[Ban]:
        """Those that hold now, by device and address."""
        return await self._list.bans(self._wall_clock(), after=after, limit=limit)

    async def lift(self, device_id: str, key: str) -> int:
        """End those of a device, at one address or, without a key, all; how many there were."""
        return await self._list.lift(device_id, key)

    async def _sweep(self, now_ms: int) -> None:
        if now_ms - self._swept_ms >= _SWEEP_MS:
            self._swept_ms = now_ms
            await self._list.sweep(now_ms, window_ms=self._window_ms)
