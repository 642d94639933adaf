"""People who are there before the curtain rises: accounts and logins written straight into a database.

Registering by REST costs 0.15 s of argon2 a person and device; a dialogue wants fresh people, and there are
hundreds of them. Everything but the shortcut is real: their tokens are signed with the server's
secret, and their password opens a login.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from argon2 import PasswordHasher
from sqlalchemy import Engine

from imd.business.accounts.authenticate import Issue
from imd.business.accounts.enter import new_login
from imd.business.accounts.model import ACTIVE, Account, Login
from imd.business.accounts.tokens import Tokens
from imd.business.tables.people import logins, users
from imd.kernel.clocks import system_wall_clock
from imd.kernel.ids import Snowflake
from imd.storage.sql import insert_ignore

PASSWORD = "correct horse battery"
#: Where everybody is logged in.
DEVICES = ("phone", "laptop", "tablet")
#: Of the ids made here; not the server's own.
_NODE_ID = 1023
_LOGIN_TTL_S = 24 * 3600
TOKEN_TTL_S = 3600


class Inhabitant(NamedTuple):
    """An account and its logins, by device."""

    account: Account
    logins: dict[str, Login]


class Town:
    """So many inhabitants, each given away once."""

    def __init__(self, *, engine: Engine, secret: bytes, inhabitants: int) -> None:
        self._tokens = Tokens(secret=lambda: secret, kind="access", wall_clock=system_wall_clock)
        people = _people(inhabitants)
        _write(engine, people)
        self._left: Iterator[Inhabitant] = iter(people)

    def next(self) -> Inhabitant:
        """Somebody nobody knows yet."""
        return next(self._left)

    def token(self, inhabitant: Inhabitant, device_id: str, *, ttl_s: int = TOKEN_TTL_S) -> str:
        """A good token for one of the inhabitant's devices."""
        issue = Issue(tokens=self._tokens, token_ttl_s=ttl_s, login_ttl_s=_LOGIN_TTL_S)
        return issue.session(inhabitant.account, inhabitant.logins[device_id]).token


def _people(count: int) -> list[Inhabitant]:
    ids = Snowflake(node_id=_NODE_ID, wall_clock=system_wall_clock)
    now_ms = system_wall_clock()
    found: list[Inhabitant] = []
    for number in range(count):
        account = Account(ids.next(), f"person.{number}", f"Person {number}", ACTIVE, 1, now_ms)
        found.append(
            Inhabitant(
                account,
                {device: new_login(account.user_id, device, device, now_ms) for device in DEVICES},
            )
        )
    return found


def _write(engine: Engine, people: Sequence[Inhabitant]) -> None:
    # The cheapest hash there is; the server takes it, and makes a dear one at the first login.
    password_hash = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    with engine.begin() as connection:
        insert_ignore(
            connection,
            users,
            [
                {
                    "id": account.user_id,
                    "handle": account.handle,
                    "display_name": account.display_name,
                    "password_hash": password_hash,
                    "status": account.status,
                    "token_version": account.token_version,
                    "created_at_ms": account.created_at_ms,
                }
                for account, _ in people
            ],
        )
        insert_ignore(
            connection, logins, [login._asdict() for person in people for login in person.logins.values()]
        )
    engine.dispose()
