"""Use cases of operators: freeze and thaw accounts, lift bans of devices."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from imd.bus.audit import DONE, HIGH, LOW, AuditEntry
from imd.business.accounts.device_bans import DeviceBans
from imd.business.accounts.ports import AccountState, AccountStates, Ban
from imd.business.accounts.profile import NoSuchUser
from imd.business.accounts.states import REASON_MAX_LENGTH, Act
from imd.business.accounts.tell import TellState
from imd.business.audit.ports import Audit
from imd.business.text import check_line
from imd.kernel.clocks import WallClock
from imd.kernel.errors import OutcomeUnknown, PayloadInvalid
from imd.kernel.ids import check_id


class OperateAccounts:
    """Each act is written down, also one that changed nothing."""

    def __init__(
        self,
        *,
        states: AccountStates,
        bans: DeviceBans,
        tell: TellState,
        audit: Audit,
        wall_clock: WallClock,
    ) -> None:
        self._states = states
        self._bans = bans
        self._tell = tell
        self._audit = audit
        self._wall_clock = wall_clock

    async def state(self, user_id: int) -> AccountState:
        """How an account stands."""
        state = await self._states.state(user_id)
        if state is None:
            raise NoSuchUser("there is no such user", field="userId")
        return state

    async def freeze(self, user_id: int, reason: str) -> AccountState:
        """Ends all logins; a reason is due to whoever looks at this later."""
        reason = check_line(reason, max_length=REASON_MAX_LENGTH, field="reason")
        if not reason:
            raise PayloadInvalid("reason must not be empty", field="reason")
        return await self._change(user_id, Act.FREEZE, reason)

    async def thaw(self, user_id: int, reason: str) -> AccountState:
        """The user may log in again."""
        return await self._change(
            user_id, Act.THAW, check_line(reason, max_length=REASON_MAX_LENGTH, field="reason")
        )

    async def set_level(self, user_id: int, level: int) -> None:
        """For policies that are let loose by user level."""
        if not await self._states.set_level(user_id, level):
            raise NoSuchUser("there is no such user", field="userId")
        detail = msgspec.json.encode({"level": level}).decode()
        self._audit.record(AuditEntry("account.level", DONE, subject_id=user_id, level=LOW, detail=detail))

    async def bans(self, *, after: tuple[str, str], limit: int) -> Sequence[Ban]:
        return await self._bans.bans(after=after, limit=limit)

    async def lift(self, device_id: str, address_key: str) -> int:
        """How many there were."""
        count = await self._bans.lift(check_id(device_id, "deviceId"), address_key)
        detail = msgspec.json.encode({"deviceId": device_id, "address": address_key, "lifted": count})
        self._audit.record(AuditEntry("device.lift", DONE, level=LOW, detail=detail.decode()))
        return count

    async def _change(self, user_id: int, act: Act, reason: str) -> AccountState:
        word = "frozen" if act is Act.FREEZE else "thawed"
        try:
            change = await self._states.change(user_id, act, reason=reason, now_ms=self._wall_clock())
        except OutcomeUnknown:
            await self._tell.in_doubt(user_id, word)
            raise
        if change is None:
            raise NoSuchUser("there is no such user", field="userId")
        await self._tell(change, word)
        self._audit.record(
            AuditEntry(f"account.{act.name.lower()}", DONE, reason, subject_id=user_id, level=HIGH)
        )
        return await self.state(user_id)
