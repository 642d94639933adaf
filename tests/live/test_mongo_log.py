"""What the log in MongoDB does beyond the contract."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from imd.core.message.mongo import MAX_RECENT, MongoMessageLog
from tests.contract.bus import scenario
from tests.contract.message_log import message
from tests.live.mongo import MongoCase


class LogLiveTests(MongoCase):
    """Scenarios on the shared server."""

    collections = 2

    def drive(self, work: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(work)

    @scenario
    async def test_recent_tails(self) -> None:
        """Conversations that have messages newer than an id are told with their last seq; others are not."""
        log = await self.log_on(await self.opened())
        names = [f"c{n}" for n in range(20)]
        await log.append([message(seq, conversation=name) for seq in (1, 2) for name in names])
        since = message(3).server_msg_id
        self.assertEqual(await log.recent_tails(0), dict.fromkeys(names, 2))
        self.assertEqual(await log.recent_tails(since + (1 << 32)), {})
        await log.append([message(seq, conversation=name) for seq in (3, 4, 5) for name in names[:5]])
        tails = await log.recent_tails(message(4, conversation="c0").server_msg_id)
        self.assertEqual(tails["c0"], 5)
        self.assertLessEqual(set(tails), set(names[:5]))
        self.assertGreater(MAX_RECENT, 10_000)

    @scenario
    async def test_cost_of_tails(self) -> None:
        """The last seqs are read from one index entry a conversation, however many messages there are."""
        log = await self.log_on(await self.opened())
        names = [f"c{n}" for n in range(10)]
        rows = [message(seq, conversation=name) for seq in range(1, 101) for name in names]
        await log.append(sorted(rows, key=lambda row: log.partition_of(row.conversation_id)))
        for ask in (log.last_seqs, log.newest, log.last_bodies):
            self.assertLess(await self.examined(log, ask, names), 2 * len(names) + 2)

    async def examined(self, log: MongoMessageLog, ask: Any, names: list[str]) -> int:
        """Index entries that the server looked at for an answer."""
        asked: list[dict[str, Any]] = []
        documents = log._database.documents

        async def listen(command: Any) -> Any:
            asked.append(dict(command))
            return await documents(command)

        self.patch(log._database, "documents", listen)
        await ask(names)
        self.patch(log._database, "documents", documents)

        def explain() -> int:
            with self.mongod.client() as client:
                database = client[self.mongod.database]
                plans = [database.command("explain", each, verbosity="executionStats") for each in asked]
            return sum(_keys(plan) for plan in plans)

        return await deferToThread(explain)


def _keys(plan: Any) -> int:
    """The entries that a plan's execution looked at, wherever it says so."""
    if isinstance(plan, dict):
        if "executionStats" in plan:
            return int(plan["executionStats"]["totalKeysExamined"])
        return sum(_keys(each) for each in plan.values())
    return sum(_keys(each) for each in plan) if isinstance(plan, list) else 0
