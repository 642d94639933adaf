"""People, their logins and their tokens: plain records and pure rules."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from imd.business.text import check_line
from imd.kernel.errors import PayloadInvalid

#: What an account may be; see ``states`` for the ways between them.
ACTIVE = 1
FROZEN = 2
DELETED = 3

#: What a person's token permits (spec 24.4).
DEFAULT_SCOPES = ("message:send", "presence:update")

PASSWORD_MAX_LENGTH = 256
DISPLAY_NAME_MAX_LENGTH = 64
PLATFORM_MAX_LENGTH = 32
ABOUT_MAX_LENGTH = 256
AVATAR_URL_MAX_LENGTH = 512

_HANDLE = re.compile(r"[a-z0-9_.-]{3,32}\Z")
#: Printable ASCII, no user and password in front of the host, no quotes and brackets to break out of a page.
_AVATAR_URL = re.compile(r"https://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:/[!#$%&()*+,./0-9:;=?@A-Z_a-z~-]*)?\Z")


class Account(NamedTuple):
    """A user, without what proves that it is them."""

    user_id: int
    handle: str
    display_name: str
    status: int
    token_version: int
    created_at_ms: int
    about: str = ""
    avatar_url: str = ""


class Login(NamedTuple):
    """The password was given on a device; lives until it is revoked or too old."""

    user_id: int
    device_id: str
    login_id: str
    platform: str
    created_at_ms: int
    refreshed_at_ms: int
    #: Where from; see ``attempts.address_key``.
    address_key: str = ""


class Ended(NamedTuple):
    """A login that has just ended."""

    device_id: str
    login_id: str


#: Of a user; the column has room for more, nobody for the difference.
LEVEL_MAX = 1_000


class Sessions(NamedTuple):
    """All that decides whether a user's token still counts."""

    active: bool
    token_version: int
    #: Device to login id.
    logins: Mapping[str, str]
    #: For policies that are let loose by user level.
    level: int = 0


class Revocation(NamedTuple):
    """Which sessions of a user ended; ``device_id`` empty: all but ``except_device_id``.

    ``login_ids`` names them for sure. Empty: nobody knows; it is whatever is older than this.
    """

    user_id: int
    device_id: str
    except_device_id: str
    reason: str
    login_ids: Sequence[str] = ()


class Caller(NamedTuple):
    """Who is asking, as a good token proves it."""

    user_id: int
    device_id: str
    login_id: str
    scopes: tuple[str, ...]
    expires_at_ms: int
    #: The user's, as operators have set it.
    level: int = 0


class Session(NamedTuple):
    """A login with a fresh token, as its owner gets it."""

    account: Account
    device_id: str
    token: str
    expires_at_ms: int
    login_expires_at_ms: int

    def __repr__(self) -> str:
        return f"Session(user_id={self.account.user_id}, device_id={self.device_id!r})"


def fold_handle(handle: str) -> str:
    """The one spelling under which a handle is kept.

    :raises PayloadInvalid: it may not be a handle at all.
    """
    # Letters of other scripts may fold to ours; only what was written in ours is the same handle.
    folded = handle.lower() if handle.isascii() else ""
    if _HANDLE.match(folded) is None:
        raise PayloadInvalid("handle must be 3 to 32 characters of a-z 0-9 _ . -", field="handle")
    return folded


def check_prefix(text: str) -> str:
    """The beginning of a handle, folded; too short a one would leaf through the directory."""
    folded = text.lower() if text.isascii() else ""
    if _HANDLE.match(folded) is None:
        raise PayloadInvalid("give at least 3 characters of a handle: a-z 0-9 _ . -", field="prefix")
    return folded


def check_display_name(name: str, handle: str) -> str:
    """The name to show, trimmed; the handle where none is given."""
    name = check_line(name, max_length=DISPLAY_NAME_MAX_LENGTH, field="displayName")
    return name or handle


def check_about(text: str) -> str:
    """What people say about themselves, trimmed, maybe nothing."""
    return check_line(text, max_length=ABOUT_MAX_LENGTH, field="about")


def check_avatar_url(url: str) -> str:
    """Where a picture is; it is shown to others, so it must be nothing that their client would run or open.

    :raises PayloadInvalid: it is no plain https address.
    """
    if url and (len(url) > AVATAR_URL_MAX_LENGTH or _AVATAR_URL.match(url) is None):
        raise PayloadInvalid(
            f"avatarUrl must be an https:// address of at most {AVATAR_URL_MAX_LENGTH} characters",
            field="avatarUrl",
        )
    return url


def check_new_password(password: str, *, min_length: int, handle: str, field: str = "password") -> None:
    """Refuse what anybody would guess first."""
    if not min_length <= len(password) <= PASSWORD_MAX_LENGTH:
        raise PayloadInvalid(f"{field} must be {min_length} to {PASSWORD_MAX_LENGTH} characters", field=field)
    if password.casefold() == handle:
        raise PayloadInvalid(f"{field} must differ from the handle", field=field)
