"""The operations of operators about accounts and devices."""

from __future__ import annotations

from typing import Literal

from imd.business.accounts.model import ACTIVE, DELETED, FROZEN
from imd.business.accounts.operate import OperateAccounts
from imd.business.accounts.ports import AccountState
from imd.business.rest.operation import Asked, Operation, Parameter
from imd.business.rest.parameters import USER_ID, limit_of, limit_parameter, user_id_of
from imd.business.rest.people_bodies import (
    AccountLevelAnswer,
    AccountLevelBody,
    AccountStateAnswer,
    AccountStateBody,
    DeviceBanAnswer,
    DeviceBansAnswer,
    LiftedAnswer,
)
from imd.kernel.errors import PayloadInvalid
from imd.kernel.ids import is_id

BANS_PER_PAGE = 200
_MAX_ADDRESS_LENGTH = 64

DEVICE_ID = Parameter("deviceId", {"type": "string"}, "A device's id.")
ADDRESS = Parameter("address", {"type": "string"}, "As a ban names it; without it: at all addresses.")
AFTER = Parameter("after", {"type": "string"}, "The page's ``next`` of the page before.")
LIMIT = limit_parameter(BANS_PER_PAGE)

_NAMES: dict[int, Literal["active", "frozen", "deleted"]] = {
    ACTIVE: "active",
    FROZEN: "frozen",
    DELETED: "deleted",
}


class OperatorApi:
    """Bodies in, use cases, answers out."""

    def __init__(self, *, accounts: OperateAccounts) -> None:
        self._accounts = accounts

    def operations(self) -> list[Operation]:
        """All of them."""
        state, bans = "/operator/accounts/{userId}/state", "/operator/device-bans"
        level = "/operator/accounts/{userId}/level"
        return [
            Operation("GET", state, "accountState", "How an account stands",
                      self.state, AccountStateAnswer, path_parameters=(USER_ID,), operator=True),
            Operation("PUT", state, "setAccountState", "Freeze an account, which ends all its logins, or thaw it",
                      self.set_state, AccountStateAnswer, body=AccountStateBody, path_parameters=(USER_ID,),
                      operator=True),
            Operation("PUT", level, "setAccountLevel", "Let an account into what is let loose by level, or out of it",
                      self.set_level, AccountLevelAnswer, body=AccountLevelBody, path_parameters=(USER_ID,),
                      operator=True),
            Operation("GET", bans, "deviceBans", "Devices that are kept out",
                      self.bans, DeviceBansAnswer, query_parameters=(AFTER, LIMIT), operator=True),
            Operation("DELETE", bans + "/{deviceId}", "liftDeviceBan", "Let a device in again",
                      self.lift, LiftedAnswer, path_parameters=(DEVICE_ID,), query_parameters=(ADDRESS,),
                      operator=True),
        ]  # fmt: skip

    async def state(self, asked: Asked) -> AccountStateAnswer:
        return _state(await self._accounts.state(user_id_of(asked)))

    async def set_state(self, asked: Asked) -> AccountStateAnswer:
        body: AccountStateBody = asked.body
        act = self._accounts.freeze if body.state == "frozen" else self._accounts.thaw
        return _state(await act(user_id_of(asked), body.reason))

    async def set_level(self, asked: Asked) -> AccountLevelAnswer:
        body: AccountLevelBody = asked.body
        user_id = user_id_of(asked)
        await self._accounts.set_level(user_id, body.level)
        return AccountLevelAnswer(str(user_id), body.level)

    async def bans(self, asked: Asked) -> DeviceBansAnswer:
        limit = limit_of(asked, BANS_PER_PAGE)
        found = await self._accounts.bans(after=_after(asked), limit=limit + 1)
        page = [
            DeviceBanAnswer(one.device_id, one.address_key, one.failures, one.until_ms)
            for one in found[:limit]
        ]
        last = f"{page[-1].deviceId},{page[-1].address}" if len(found) > limit else ""
        return DeviceBansAnswer(page, last)

    async def lift(self, asked: Asked) -> LiftedAnswer:
        address = asked.query.get("address", "")
        if len(address) > _MAX_ADDRESS_LENGTH:
            raise PayloadInvalid("address is no address of a ban", field="address")
        return LiftedAnswer(await self._accounts.lift(asked.path["deviceId"], address))


def _after(asked: Asked) -> tuple[str, str]:
    device_id, _, address = asked.query.get("after", "").partition(",")
    if (device_id and not is_id(device_id)) or len(address) > _MAX_ADDRESS_LENGTH:
        raise PayloadInvalid("after is no next of a page", field="after")
    return device_id, address


def _state(state: AccountState) -> AccountStateAnswer:
    account = state.account
    return AccountStateAnswer(
        str(account.user_id),
        account.handle,
        account.display_name,
        _NAMES[account.status],
        state.since_ms,
        state.reason,
    )
