"""A process that appends until it is killed; each line it writes is a promise (run by ``test_sqlite_kill``)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from imd.core.message.sqlite import SqliteMessageLog, message_database
from imd.storage.sqlite import FolderLock, Threads, start_thread
from tests.contract.message_log import message
from tests.storage.calls import Calls

CONVERSATIONS = ("c0", "c1", "c2")


async def append_for_ever(folder: Path, calls: Calls) -> None:
    """Batches of several sizes, each promised after its append has returned."""
    await FolderLock(folder=folder).start()
    threads = Threads(start=start_thread, call_in_reactor=calls.call_in_reactor)
    database = message_database(folder=folder, threads=threads)
    await database.start()
    log = SqliteMessageLog(database=database)
    found = await log.last_seqs(CONVERSATIONS)
    last = {conversation: found.get(conversation, 0) for conversation in CONVERSATIONS}
    while True:
        count = 1 + sum(last.values()) % 67
        rows = [
            message(last[conversation] + n, conversation=conversation, body=b"x" * (n * 40))
            for conversation in CONVERSATIONS
            for n in range(1, count + 1)
        ]
        result = await log.append(rows)
        if result.stored != len(rows):
            raise AssertionError(result)
        last = {conversation: seq + count for conversation, seq in last.items()}
        os.write(1, f"{min(last.values())}\n".encode())


if __name__ == "__main__":
    calls = Calls()
    calls.drive(append_for_ever(Path(sys.argv[1]), calls))
