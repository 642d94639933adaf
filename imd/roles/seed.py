"""People and conversations written straight into a data folder that no server has open.

For ``tools/bench``: ten thousand people take a second, where registering them takes a quarter of an hour
of argon2. ``python -m imd.roles.seed --config FILE`` reads a ``CrowdWish`` from stdin and prints a ``Crowd``.
Nobody can log in as one of them: their password hash matches no password.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from imd.business.accounts.authenticate import Issue
from imd.business.accounts.enter import new_login
from imd.business.accounts.model import ACTIVE, Account, Login
from imd.business.accounts.secrets import load_or_make, private_folder
from imd.business.accounts.tokens import Tokens
from imd.business.schema import open_business
from imd.business.tables.groups import group_conversations, group_members
from imd.business.tables.people import direct_conversations, logins, users
from imd.client.load.crowd import ConversationWish, Crowd, CrowdWish, Person
from imd.config.load import load
from imd.config.sections import Config
from imd.kernel.clocks import WallClock, system_wall_clock
from imd.kernel.errors import StartupError
from imd.kernel.ids import Snowflake, direct_conversation_id
from imd.pb.bus_pb2 import MEMBER, OWNER
from imd.storage.sql import insert_ignore

_DEVICE: Final = "bench"
_NO_PASSWORD: Final = "!"


def seed(config: Config, crowd_wish: CrowdWish, *, wall_clock: WallClock) -> Crowd:
    """Write the wished people, logged in on one device each, and their conversations."""
    folder = private_folder(Path(config.data_dir))
    secret = load_or_make(private_folder(folder / "secrets") / "token.key")
    ids = Snowflake(node_id=config.node_id, wall_clock=wall_clock)
    issue = Issue(
        tokens=Tokens(secret=lambda: secret, kind="access", wall_clock=wall_clock),
        token_ttl_s=config.accounts.token_ttl_s,
        login_ttl_s=config.accounts.login_ttl_s,
    )
    now_ms = wall_clock()
    accounts = []
    for index in range(crowd_wish.users):
        user_id = ids.next()
        accounts.append(
            Account(
                user_id, f"bench_{user_id:x}", f"Bench {index}", ACTIVE, token_version=1, created_at_ms=now_ms
            )
        )
    made = [new_login(account.user_id, _DEVICE, "bot", now_ms) for account in accounts]
    rows = ConversationRows(accounts, now_ms)
    names = [rows.add(wish) for wish in crowd_wish.conversations]
    engine = open_business(folder / "business.db")
    with engine.begin() as connection:
        insert_ignore(connection, users, [_user_row(account) for account in accounts])
        insert_ignore(connection, logins, [_login_row(login) for login in made])
        insert_ignore(connection, direct_conversations, rows.direct)
        insert_ignore(connection, group_conversations, rows.groups)
        insert_ignore(connection, group_members, rows.members)
    engine.dispose()
    people = [
        Person(account.user_id, issue.session(account, login).token, _DEVICE)
        for account, login in zip(accounts, made, strict=True)
    ]
    return Crowd(people, names)


def _user_row(account: Account) -> Mapping[str, Any]:
    return {
        "id": account.user_id,
        "handle": account.handle,
        "display_name": account.display_name,
        "password_hash": _NO_PASSWORD,
        "status": account.status,
        "token_version": account.token_version,
        "created_at_ms": account.created_at_ms,
    }


def _login_row(login: Login) -> Mapping[str, Any]:
    return login._asdict()


class ConversationRows:
    """Rows of 1:1 conversations, groups and members."""

    def __init__(self, accounts: list[Account], now_ms: int) -> None:
        self._accounts = accounts
        self._now_ms = now_ms
        self.direct: list[Mapping[str, Any]] = []
        self.groups: list[Mapping[str, Any]] = []
        self.members: list[Mapping[str, Any]] = []

    def add(self, wish: ConversationWish) -> str:
        """The id of the conversation."""
        user_ids = [self._accounts[index].user_id for index in wish.members]
        if wish.kind == "group":
            return self._group(user_ids)
        low, high = sorted(user_ids)
        name = direct_conversation_id(low, high)
        self.direct.append({"id": name, "user_low": low, "user_high": high, "created_at_ms": self._now_ms})
        return name

    def _group(self, user_ids: list[int]) -> str:
        name = f"g_{secrets.token_hex(16)}"
        self.groups.append(
            {
                "id": name,
                "title": "Bench",
                "version": 1,
                "member_count": len(user_ids),
                "created_at_ms": self._now_ms,
                "dissolved_at_ms": 0,
            }
        )
        self.members.extend(
            {
                "group_id": name,
                "user_id": user_id,
                "role": OWNER if user_id == user_ids[0] else MEMBER,
                "joined_at_ms": self._now_ms,
            }
            for user_id in user_ids
        )
        return name


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m imd.roles.seed")
    parser.add_argument("--config", required=True, metavar="FILE")
    given = parser.parse_args()
    try:
        wish = msgspec.json.decode(sys.stdin.buffer.read(), type=CrowdWish)
        crowd = seed(load(given.config, os.environ), wish, wall_clock=system_wall_clock)
    except (StartupError, msgspec.DecodeError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(crowd))
    return 0


if __name__ == "__main__":
    sys.exit(main())
