"""The incarnation of the message store: clients drop their cursors when it changes (after a restore)."""

from __future__ import annotations

from collections.abc import Callable

from imd.kernel.errors import OutcomeUnknown, ServerBusy, StartupError
from imd.kernel.ids import is_id
from imd.storage.mongo import CommandRefused, MongoDatabase

_TIMEOUT_S = 10.0
ABOUT = "imd_about"
EPOCH_ID = "epoch"
#: Stands there while `imctl migrate` fills the database: nobody must write beside it.
MOVING_IN = "a data folder is being moved in"


class MongoEpoch:
    """A stage that reads the epoch; the first node of all makes it. ``value`` is known once it is up.

    After a restore from a backup an operator deletes the document: the next start of a node makes another.
    """

    def __init__(self, *, database: MongoDatabase, random_hex: Callable[[int], str]) -> None:
        self._database = database
        self._random_hex = random_hex
        self._value = ""

    def value(self) -> str:
        return self._value

    async def start(self) -> None:
        command = {
            "findAndModify": ABOUT,
            "query": {"_id": EPOCH_ID},
            "update": {"$setOnInsert": {"value": self._random_hex(8)}},
            "upsert": True,
            "new": True,
            "writeConcern": {"w": "majority", "j": True},
        }
        try:
            reply = await self._database.administer(command, timeout_s=_TIMEOUT_S)
        except (CommandRefused, OutcomeUnknown, ServerBusy) as error:
            raise StartupError(f"the epoch cannot be read from MongoDB: {error}") from error
        self._value = str((reply.get("value") or {}).get("value", ""))
        if self._value == MOVING_IN:
            raise StartupError(
                "`imctl migrate` has not finished moving a data folder into this MongoDB database: run it again, or drop "
                "the database"
            )
        if not is_id(self._value):
            raise StartupError(
                f'the collection {ABOUT} holds no epoch; if nothing else is damaged, delete {{_id: "epoch"}} '
                "from it: clients then sync anew"
            )

    async def stop(self) -> None:
        """Nothing is held."""
