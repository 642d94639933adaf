"""MongoDB, reached with care: only what a majority holds on disk counts, and every call ends.

Calls go to the primary, one at a time a connection. Writes ask for ``{w: majority, j: true}``, reads for
``majority``. What a caller hears is ``ServerBusy`` (nothing was done) or ``OutcomeUnknown`` (a write may be
there); no failure of the network, the driver or the server escapes otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.logger import Logger

from imd.kernel.clocks import Clock, WallClock
from imd.kernel.errors import OutcomeUnknown, ServerBusy, StartupError
from imd.kernel.histogram import Calls
from imd.kernel.timeouts import sleep
from imd.ops.metrics.buckets import WRITE
from imd.ops.metrics.of_stores import MONGO_OPERATIONS
from imd.storage.mongo_link import LinkFailed, Login, MongoLink
from imd.storage.mongo_pool import LinkPool
from imd.storage.mongo_primary import EndpointFor, Members, MongoTrouble

#: One that is being started, or elects, gets so long before a node gives up starting.
START_PATIENCE_S = 15.0
_START_RETRY_S = 0.5
#: The server's own limits end a call; this much later the connection is given up.
ANSWER_GRACE_S = 1.0
#: Index builds wait for the other members.
ADMINISTER_TIMEOUT_S = 60.0
#: Ids and expiry dates are made of wall clocks.
MAX_CLOCK_SKEW_MS = 300_000

#: The server is not, or no longer, the primary, or shuts down.
_NOT_PRIMARY = frozenset({91, 189, 10058, 10107, 11600, 11602, 13435, 13436})
_UNAUTHORIZED = 13
#: Not understood, not allowed, no room: the command was refused before it did anything.
_REFUSED = frozenset({2, 9, _UNAUTHORIZED, 14, 18, 26, 59, 72, 73, 238, 8000, 14031})
DUPLICATE_KEY = 11000


class CommandRefused(Exception):
    """The server refused the whole command and did nothing; only administration hears of it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class MongoDatabase:
    """One database of a replica set (or, with ``replica_set=""``, of a single server or a mongos); a stage.

    :param hosts: ``HOST:PORT`` of members; those that they name are found by themselves.
    :param endpoint_for: how a member is reached, see ``tcp_endpoints``.
    :param user: empty if the servers ask for no login; defined in ``database``, with SCRAM-SHA-1.
    """

    _logger = Logger()

    def __init__(
        self,
        *,
        hosts: Sequence[str],
        replica_set: str,
        database: str,
        endpoint_for: EndpointFor,
        clock: Clock,
        wall_clock: WallClock,
        user: str = "",
        password: str = "",
        pool_size: int = 16,
        timeout_s: float = 5.0,
        start_patience_s: float = START_PATIENCE_S,
    ) -> None:
        self._name = database
        self._clock = clock
        self._wall_clock = wall_clock
        self._timeout_s = timeout_s
        self._start_patience_s = start_patience_s
        self._login = Login(database, user, password) if user else None
        self._members = Members(hosts=hosts, replica_set=replica_set, endpoint_for=endpoint_for, clock=clock)
        self._pool = LinkPool(
            members=self._members, login=self._login, clock=clock, size=pool_size, patience_s=timeout_s
        )
        self.calls = {name: Calls(WRITE.bounds) for name in MONGO_OPERATIONS}
        self._write_concern = {"w": "majority", "j": True, "wtimeout": int(timeout_s * 1000)}

    async def start(self) -> None:
        started_s = self._clock.seconds()
        while True:
            try:
                await self._check_primary()
                break
            except MongoTrouble as trouble:
                if trouble.lasting or self._clock.seconds() - started_s > self._start_patience_s:
                    raise StartupError(f"{trouble}. See [mongo] in the configuration.") from None
            await sleep(_START_RETRY_S, clock=self._clock)
        self._pool.open()
        try:
            await self._check_majority()
        except StartupError:
            await self._pool.close()
            raise

    async def _check_primary(self) -> None:
        """The whole way once, with errors that say what is wrong; the pool only ever tries again."""
        host = await self._members.find_primary()
        link, hello = await self._members.greet(host, login=self._login)
        link.abort()
        ahead_ms = int(hello["localTime"]) - self._wall_clock()
        if abs(ahead_ms) > MAX_CLOCK_SKEW_MS:
            raise MongoTrouble(
                f"the clock of MongoDB at {host} is {ahead_ms / 1000:+.0f} s from this machine's:"
                " set both by NTP",
                lasting=True,
            )

    async def _check_majority(self) -> None:
        """A write that a majority has to confirm, where it harms nothing."""
        write = {"q": {"_id": "majority"}, "u": {"$set": {"at": self._wall_clock()}}, "upsert": True}
        try:
            reply = await self.administer(
                {"update": "imd_start", "updates": [write], "writeConcern": self._write_concern},
                timeout_s=self._timeout_s,
            )
        except CommandRefused as refused:
            if refused.code == _UNAUTHORIZED:
                wrong = "may not write there: grant it the role readWrite, or set [mongo] user"
                raise StartupError(f"the MongoDB user of database {self._name!r} {wrong}") from None
            raise StartupError(f"MongoDB refuses to write: {refused}") from None
        except (ServerBusy, OutcomeUnknown) as error:
            raise StartupError(f"MongoDB does not write: {error.message}") from None
        concern = reply.get("writeConcernError")
        if concern:
            raise StartupError(
                f"no majority of the MongoDB replica set confirms a write within {self._timeout_s:g} s:"
                f" start its other members ({concern.get('errmsg')})"
            )

    async def stop(self) -> None:
        await self._pool.close()

    @property
    def connections(self) -> Mapping[str, int]:
        """Idle, taken and connecting."""
        return self._pool.connections

    @property
    def waiting(self) -> int:
        """Calls that wait for a connection."""
        return self._pool.waiting

    @property
    def ready(self) -> bool:
        """Whether there is a primary, as far as is known."""
        return self._pool.ready

    async def read(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a command that changes nothing; asked twice if need be.

        :raises ServerBusy: there is no answer.
        """
        return await self._read(self._majority(command))

    def _majority(self, command: Mapping[str, Any]) -> Mapping[str, Any]:
        return {
            **command,
            "$db": self._name,
            "readConcern": {"level": "majority"},
            "maxTimeMS": int(self._timeout_s * 1000),
        }

    async def _read(self, body: Mapping[str, Any], *, tries: int = 2) -> dict[str, Any]:
        cause = ""
        for _ in range(tries):
            link = await self._pool.take()
            try:
                reply = await self._call("read", link, body, self._timeout_s)
            except LinkFailed as error:
                cause = str(error)
                continue
            if reply["ok"]:
                return reply
            cause = f"{reply.get('codeName')}: {reply.get('errmsg')}"
            if reply.get("code") not in _NOT_PRIMARY:
                break
        self._logger.warn("MongoDB did not answer a question: {cause}", cause=cause)
        raise ServerBusy("the message store does not answer", retry_after_ms=1000)

    async def collections(self, prefix: str) -> list[str]:
        """The names of the collections that begin like this.

        :raises ServerBusy: there is no answer.
        """
        body = {
            "listCollections": 1,
            "nameOnly": True,
            "authorizedCollections": True,
            "filter": {"name": {"$regex": f"^{prefix}"}},
            "$db": self._name,
        }
        return [found["name"] for found in await self._documents(body)]

    async def documents(self, command: Mapping[str, Any]) -> list[dict[str, Any]]:
        """All documents that a ``find`` or ``aggregate`` finds, however many batches they come in.

        :raises ServerBusy: there is no answer.
        """
        return await self._documents(self._majority(command))

    async def _documents(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        cursor = (await self._read(body))["cursor"]
        found: list[dict[str, Any]] = cursor["firstBatch"]
        while cursor["id"]:
            collection = cursor["ns"].partition(".")[2]
            more = {"getMore": cursor["id"], "collection": collection, "$db": self._name}
            # Asked twice, it would pass over the batch whose answer was lost.
            cursor = (await self._read(more, tries=1))["cursor"]
            found += cursor["nextBatch"]
        return found

    async def write(
        self, command: Mapping[str, Any], *, section: str, items: Sequence[bytes], repeatable: bool = False
    ) -> dict[str, Any]:
        """The answer to a write; what it says of single items (``writeErrors``) is the caller's to judge.

        When it returns, a majority holds on disk whatever it says was written.

        :param items: encoded documents for the field ``section``.
        :param repeatable: doing it twice is like doing it once, so it is tried again if need be.
        :raises ServerBusy: provably nothing was written.
        :raises OutcomeUnknown: all, some or nothing of it may be there, or may yet come to be.
        """
        body = {**command, "$db": self._name, "writeConcern": self._write_concern}
        in_doubt = False
        for _ in range(2 if repeatable else 1):
            try:
                link = await self._pool.take()
            except ServerBusy:
                if in_doubt:
                    break
                raise
            try:
                reply = await self._call("write", link, body, self._timeout_s, section, items)
            except LinkFailed as error:
                in_doubt = True
                self._logger.warn("a write to MongoDB is in doubt: {cause}", cause=str(error))
                continue
            if self._is_settled(reply):
                return reply
            in_doubt = True
        raise OutcomeUnknown("the message store has not confirmed the write", retry_after_ms=1000)

    def _is_settled(self, reply: Mapping[str, Any]) -> bool:
        """Whether the answer is final.

        :raises ServerBusy: the server has refused the command.
        """
        if not reply["ok"]:
            code, cause = reply.get("code"), f"{reply.get('codeName')}: {reply.get('errmsg')}"
            if code in _REFUSED:
                self._logger.error("MongoDB refused a write: {cause}", cause=cause)
                raise ServerBusy("the message store refuses the write", retry_after_ms=1000)
        elif "writeConcernError" in reply:
            cause = str(reply["writeConcernError"].get("errmsg"))
        elif any(error.get("code") in _NOT_PRIMARY for error in reply.get("writeErrors", ())):
            cause = "the primary changed in the middle"
        else:
            return True
        self._logger.warn("a write to MongoDB is in doubt: {cause}", cause=cause)
        return False

    async def administer(
        self, command: Mapping[str, Any], *, timeout_s: float = ADMINISTER_TIMEOUT_S
    ) -> dict[str, Any]:
        """The answer to any other command; asked once, with time enough to build an index.

        :raises CommandRefused: the server says no.
        :raises ServerBusy: it was not asked. OutcomeUnknown: there is no answer.
        """
        link = await self._pool.take()
        try:
            reply = await self._call("administer", link, {**command, "$db": self._name}, timeout_s)
        except LinkFailed as error:
            raise OutcomeUnknown(f"MongoDB: {error}") from None
        if not reply["ok"]:
            raise CommandRefused(reply.get("code", 0), str(reply.get("errmsg")))
        return reply

    async def _call(
        self,
        operation: str,
        link: MongoLink,
        body: Mapping[str, Any],
        timeout_s: float,
        section: str = "",
        items: Sequence[bytes] = (),
    ) -> dict[str, Any]:
        """One call on a link that was taken; the link goes back, or is dropped, whatever happens."""
        began_s, failed = self._clock.seconds(), True
        try:
            reply = await link.call(
                body, timeout_s=timeout_s + ANSWER_GRACE_S, clock=self._clock, section=section, items=items
            )
            failed = not reply["ok"] or "writeConcernError" in reply
            if not reply["ok"] and reply.get("code") in _NOT_PRIMARY:
                self._pool.forget_primary()
        except LinkFailed:
            self._pool.suspect()
            raise
        finally:
            self.calls[operation].ended(self._clock.seconds() - began_s, failed=failed)
            self._pool.give_back(link)
        return reply
