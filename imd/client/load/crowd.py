"""The people of a run: who they are, which conversations they share, and how they come to be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

import msgspec
from msgspec import Struct, field

from imd.kernel.errors import StartupError


class ConversationWish(Struct, frozen=True):
    """A conversation to be made; members are indexes into the people."""

    kind: Literal["p2p", "group"]
    members: list[int]


class CrowdWish(Struct, frozen=True):
    """Who is needed; also what ``python -m imd.roles.seed`` reads from stdin."""

    users: int
    conversations: list[ConversationWish] = field(default_factory=list)


class Person(Struct, frozen=True):
    """Somebody with a valid token for one device."""

    user_id: int
    token: str
    device_id: str

    def __repr__(self) -> str:
        return f"Person({self.user_id}, {self.device_id!r})"


class Crowd(Struct, frozen=True):
    """The answer to a wish: people and conversation ids, in the order of the wish."""

    people: list[Person]
    conversations: list[str]


class Seeder(Protocol):
    """Makes people. Raises ``StartupError`` when it cannot."""

    def seed(self, wish: CrowdWish) -> Crowd: ...


class OfflineSeeder:
    """Writes accounts straight into a data folder that no server has open: 10,000 in a moment.

    Registering them would cost 100 ms of argon2 each.
    """

    def __init__(self, *, config_file: Path, environment: Mapping[str, str]) -> None:
        self._config_file = config_file
        self._environment = environment

    def seed(self, wish: CrowdWish) -> Crowd:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "imd.roles.seed", "--config", str(self._config_file)],
            input=msgspec.json.encode(wish),
            capture_output=True,
            env=dict(self._environment),
            check=False,
        )
        if done.returncode:
            raise StartupError(f"seeding failed: {done.stderr.decode(errors='replace')[-2000:]}")
        return msgspec.json.decode(done.stdout, type=Crowd)


class TokensFile:
    """People named in a file: the JSON of a ``Crowd``, as ``imd.roles.seed`` printed it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def seed(self, wish: CrowdWish) -> Crowd:
        try:
            crowd = msgspec.json.decode(self._path.read_bytes(), type=Crowd)
        except (OSError, msgspec.DecodeError) as error:
            raise StartupError(f"{self._path}: {error}") from None
        if len(crowd.people) < wish.users or len(crowd.conversations) < len(wish.conversations):
            raise StartupError(
                f"{self._path} has {len(crowd.people)} people and {len(crowd.conversations)} conversations; "
                f"this run needs {wish.users} and {len(wish.conversations)}"
            )
        return crowd
