"""Bodies of requests and answers, as JSON has them. 64-bit ids are strings: JavaScript cannot count so far."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

UserId = Annotated[str, Meta(pattern="^[1-9][0-9]{0,18}$", description="A user's id.")]
ConversationId = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]
DeviceId = Annotated[
    str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$", description="Chosen by the client, kept for good.")
]
Handle = Annotated[str, Meta(min_length=3, max_length=32)]
#: The exact limit is configured and checked with a message of its own; this one bounds the work.
Password = Annotated[str, Meta(min_length=1, max_length=256)]
Milliseconds = Annotated[int, Meta(description="Milliseconds since 1970.")]


class Request(Struct, forbid_unknown_fields=True, kw_only=True):
    """Base of all request bodies: an unknown field is an error, not a wish granted silently."""

    def __repr__(self) -> str:
        # What stands in them is people's own, passwords among it.
        return f"{type(self).__name__}({', '.join(self.__struct_fields__)})"


class RegisterBody(Request):
    """A new account, and the device it is made on."""

    handle: Handle
    password: Password
    deviceId: DeviceId
    displayName: Annotated[str, Meta(max_length=64)] = ""
    platform: Annotated[str, Meta(max_length=32)] = ""


class LoginBody(Request):
    """Who, with what proof, on which device."""

    handle: Handle
    password: Password
    deviceId: DeviceId
    platform: Annotated[str, Meta(max_length=32)] = ""


class LogoutBody(Request):
    """Which device; the caller's own when left out."""

    deviceId: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{0,64}$")] = ""
    everywhere: bool = False


class PasswordBody(Request):
    """The old password proves that it is not just a stolen token."""

    oldPassword: Password
    newPassword: Password


class DirectBody(Request):
    """With whom; one of the two."""

    userId: UserId | None = None
    handle: Handle | None = None


class SessionAnswer(Struct):
    """A login with a fresh token; send it as ``Authorization: Bearer``, and in Connect."""

    userId: UserId
    handle: str
    displayName: str
    deviceId: str
    token: str
    expiresAt: Milliseconds
    refreshAfter: Milliseconds
    loginExpiresAt: Milliseconds

    def __repr__(self) -> str:
        return f"SessionAnswer(userId={self.userId!r}, deviceId={self.deviceId!r})"


class DeviceAnswer(Struct):
    """A device on which the user is logged in."""

    deviceId: str
    platform: str
    loggedInAt: Milliseconds
    lastRefreshAt: Milliseconds
    current: bool


class DevicesAnswer(Struct):
    """All of them, the newest refreshed first."""

    devices: list[DeviceAnswer]


class MeAnswer(Struct):
    """The caller."""

    userId: UserId
    handle: str
    displayName: str
    createdAt: Milliseconds
    devices: list[DeviceAnswer]
    about: str
    avatarUrl: str


class UserAnswer(Struct):
    """Somebody."""

    userId: UserId
    handle: str
    displayName: str
    about: str = ""
    avatarUrl: str = ""


class DirectAnswer(Struct):
    """The 1:1 conversation with somebody."""

    conversationId: ConversationId
    peer: UserAnswer


class ConversationAnswer(Struct):
    """One of the caller's conversations; ``title`` of a 1:1 one is the other's name."""

    conversationId: ConversationId
    kind: Literal["direct", "group"]
    title: str
    memberCount: int
    peerUserId: str
    doNotDisturb: bool
    pinned: bool


class ConversationsAnswer(Struct):
    """A page, by id; ``next`` goes into ``after``, empty: that was all."""

    conversations: list[ConversationAnswer]
    next: str


class Done(Struct):
    """It is as was asked."""

    ok: bool = True
