"""The operations about profiles, privacy and devices."""

from __future__ import annotations

from msgspec import UNSET

from imd.business.accounts.close import CloseAccount
from imd.business.accounts.devices import Devices
from imd.business.accounts.profile import FOUND_AT_MOST, IDS_PER_REQUEST, Profiles
from imd.business.relations.block import KeepPrivacy
from imd.business.relations.model import Audience, Privacy
from imd.business.rest.accounts import device_answer, me_answer, session_answer, user_answer
from imd.business.rest.bodies import DevicesAnswer, Done, MeAnswer, SessionAnswer
from imd.business.rest.operation import Asked, Operation, Parameter
from imd.business.rest.parameters import number_id
from imd.business.rest.people_bodies import (
    CloseBody,
    FoundAnswer,
    PrivacyAnswer,
    PrivacyBody,
    ProfileBody,
    UsersAnswer,
)
from imd.kernel.errors import PayloadInvalid

DEVICE_ID = Parameter("deviceId", {"type": "string"}, "A device's id.")
IDS = Parameter("ids", {"type": "string"}, f"1 to {IDS_PER_REQUEST} user ids with commas between them.")
PREFIX = Parameter("prefix", {"type": "string", "minLength": 3, "maxLength": 32}, "How the handle begins.")

_AUDIENCES = {"everyone": Audience.EVERYONE, "friends": Audience.FRIENDS, "nobody": Audience.NOBODY}
_NAMES: dict[Audience, str] = {audience: name for name, audience in _AUDIENCES.items()}


class ProfileApi:
    """Bodies in, use cases, answers out."""

    def __init__(
        self,
        *,
        profiles: Profiles,
        privacy: KeepPrivacy,
        devices: Devices,
        close: CloseAccount,
        refresh_below_s: int,
    ) -> None:
        self._profiles = profiles
        self._privacy = privacy
        self._devices = devices
        self._close = close
        self._refresh_below_ms = refresh_below_s * 1000

    def operations(self) -> list[Operation]:
        """All of them."""
        device = (DEVICE_ID,)
        return [
            Operation("PATCH", "/me", "editMe", "Change one's own profile",
                      self.edit, MeAnswer, body=ProfileBody),
            Operation("DELETE", "/me", "deleteMe", "Delete the account, for good; its handle is never used again",
                      self.close, Done, body=CloseBody),
            Operation("GET", "/me/privacy", "privacy", "What others may do", self.privacy, PrivacyAnswer),
            Operation("PATCH", "/me/privacy", "setPrivacy", "Say what others may do",
                      self.set_privacy, PrivacyAnswer, body=PrivacyBody),
            Operation("GET", "/devices", "devices", "Where the caller is logged in", self.devices, DevicesAnswer),
            Operation("DELETE", "/devices", "signOutOthers", "End all other logins; a new token for this one",
                      self.sign_out_others, SessionAnswer),
            Operation("DELETE", "/devices/{deviceId}", "signOut", "End the login of one device",
                      self.sign_out, Done, path_parameters=device),
            Operation("GET", "/users", "users", "People by their ids; whoever is gone is left out",
                      self.users, UsersAnswer, query_parameters=(IDS,)),
            Operation("GET", "/search/users", "searchUsers", "People by the beginning of their handles",
                      self.search, FoundAnswer, query_parameters=(PREFIX,)),
        ]  # fmt: skip

    async def edit(self, asked: Asked) -> MeAnswer:
        body: ProfileBody = asked.body
        profile = await self._profiles.edit(
            asked.caller,
            display_name=None if body.displayName is UNSET else body.displayName,
            about=None if body.about is UNSET else body.about,
            avatar_url=None if body.avatarUrl is UNSET else body.avatarUrl,
        )
        return me_answer(asked, profile)

    async def close(self, asked: Asked) -> Done:
        body: CloseBody = asked.body
        await self._close(asked.caller, password=body.password, address=asked.address)
        return Done()

    async def privacy(self, asked: Asked) -> PrivacyAnswer:
        return _privacy(await self._privacy.privacy(asked.caller.user_id))

    async def set_privacy(self, asked: Asked) -> PrivacyAnswer:
        body: PrivacyBody = asked.body
        changes: dict[str, object] = {}
        if body.messageFrom is not UNSET:
            changes["message_from"] = _AUDIENCES[body.messageFrom]
        if body.addFrom is not UNSET:
            changes["add_from"] = _AUDIENCES[body.addFrom]
        if body.presenceTo is not UNSET:
            changes["presence_to"] = _AUDIENCES.get(body.presenceTo, Audience.EVERYONE)
        if body.findable is not UNSET:
            changes["findable"] = body.findable
        return _privacy(await self._privacy.change(asked.caller.user_id, changes))

    async def devices(self, asked: Asked) -> DevicesAnswer:
        logins = await self._devices.all_of(asked.caller)
        return DevicesAnswer([device_answer(asked, login) for login in logins])

    async def sign_out_others(self, asked: Asked) -> SessionAnswer:
        session = await self._devices.sign_out_others(asked.caller)
        return session_answer(session, self._refresh_below_ms)

    async def sign_out(self, asked: Asked) -> Done:
        await self._devices.sign_out(asked.caller, asked.path["deviceId"])
        return Done()

    async def users(self, asked: Asked) -> UsersAnswer:
        texts = asked.query.get("ids", "").split(",")
        if len(texts) > IDS_PER_REQUEST:
            raise PayloadInvalid(f"ids must be 1 to {IDS_PER_REQUEST} user ids", field="ids")
        found = await self._profiles.of_many(asked.caller, [number_id(text, "ids") for text in texts])
        return UsersAnswer([user_answer(account) for account in found])

    async def search(self, asked: Asked) -> FoundAnswer:
        found = await self._profiles.search(asked.caller, asked.query.get("prefix", ""))
        users = [user_answer(account) for account in found[:FOUND_AT_MOST]]
        return FoundAnswer(users, more=len(found) > FOUND_AT_MOST)


def _privacy(privacy: Privacy) -> PrivacyAnswer:
    presence_to = _NAMES[privacy.presence_to]
    return PrivacyAnswer(
        _NAMES[privacy.message_from],  # type: ignore[arg-type]
        _NAMES[privacy.add_from],  # type: ignore[arg-type]
        "contacts" if presence_to == "everyone" else presence_to,  # type: ignore[arg-type]
        privacy.findable,
    )
