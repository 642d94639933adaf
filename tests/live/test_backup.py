"""`imctl backup` of a server under load, and what its clients find after `imctl restore`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread

from imd.client.client import Client
from imd.client.events import (
    CaughtUp,
    ConnectionState,
    ConnectionStateChanged,
    Event,
    MessageReceived,
    MessageStored,
    SentMessage,
)
from imd.ctl.exits import TARGET
from imd.kernel.clocks import system_wall_clock
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep
from tests.dialogue.device import Hasty
from tests.dialogue.house import ServerHouse
from tests.dialogue.stage import SHORTER, WHOLE_HISTORY, Dialogue, Person, Stage
from tests.dialogue.wire import Transport
from tests.live.server import ROOT

PATIENCE_S = 60.0
PAIRS = 4
#: Sends of a person that are under way at a time, and between them: some hundred messages a second in all, so that two
#: cores have time for the backup, too.
AT_ONCE = 20
PAUSE_S = 0.1
#: STORED before the backup begins, and at least so many while it is made.
BEFORE, MEANWHILE = 1000, 100
_IMCTL = "from imd.ctl.cli import main; main()"
#: It goes no further than to what it has written, so that there is a middle in which it can be killed.
_HALF_WAY = (
    "import time; from imd.ctl.backup import take; take.check_databases = lambda *_, **__: time.sleep(600)"
)


def started(*arguments: str | Path, first: str = "") -> subprocess.Popen[str]:
    """imctl, under way; ``first`` is done before it begins."""
    return subprocess.Popen(
        [sys.executable, "-c", f"{first}\n{_IMCTL}", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(running: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and all that was said."""
    said, _ = running.communicate(timeout=PATIENCE_S)
    return running.returncode, said


def imctl(*arguments: str | Path) -> str:
    """What imctl said; it succeeds."""
    code, said = ended(started(*arguments))
    if code:
        raise AssertionError(f"imctl {arguments} ended with {code}: {said}")
    return said


class Talker:
    """One device that sends without a pause, and notes what it saw in each of its connections' epochs."""

    def __init__(self, stage: Stage, person: Person, device: str, reactor: Any) -> None:
        self.person = person
        self.stored: list[SentMessage] = []
        #: (conversation, seq) -> server's ids that were seen there, since ``forget``.
        self.seen: dict[tuple[str, int], list[int]] = defaultdict(list)
        self.caught_up = False
        self.lost_the_line = False
        self._sending = True
        self._reactor = reactor
        token = stage.token(person, device)

        async def same_token() -> str:
            return token

        self.client = Client(
            token_source=same_token,
            device_id=device,
            reactor=reactor,
            random=Hasty(),
            wall_clock=system_wall_clock,
            on_event=self._happened,
            options=WHOLE_HISTORY,
            dial=stage.house.dial(Transport.TCP, reactor),
        )

    async def talk_to(self, peer: int) -> None:
        number = 0
        while self._sending:
            number += 1
            self.stored.append(await self.client.send_text(f"{number}", peer_user_id=peer))
            await sleep(PAUSE_S, clock=self._reactor)

    def ids(self) -> set[int]:
        """The server's ids of all that was seen."""
        return {one for several in self.seen.values() for one in several}

    def falls_silent(self) -> None:
        """What is under way is the last."""
        self._sending = False

    def forget(self) -> None:
        """Note anew what comes from here on."""
        self.seen.clear()
        self.caught_up = False

    def _happened(self, event: Event) -> None:
        if isinstance(event, MessageReceived | MessageStored):
            message = event.message
            self.seen[message.conversation_id, message.seq].append(message.server_msg_id)
        elif isinstance(event, CaughtUp):
            self.caught_up = True
        elif isinstance(event, ConnectionStateChanged) and event.state is ConnectionState.RECONNECTING:
            self.forget()
            self.lost_the_line = True


class UnderLoad(Dialogue):
    """Pairs that talk all the time."""

    transport = Transport.TCP
    timeout = 180

    async def opens(self) -> None:
        """The server, and everybody online."""
        from twisted.internet import reactor  # noqa: TID251 -- real servers, on real time

        self.reactor: Any = reactor
        self.stage = await Stage.open(self, self.transport, {**SHORTER, "gateway": {"drain_timeout_s": 1.0}})
        house = self.stage.house
        assert isinstance(house, ServerHouse)
        self.server = house.server
        self.data = self.server.data_dir
        self.parent = self.server.folder / "backups"
        self.parent.mkdir(exist_ok=True)
        self.tasks = Tasks()
        self.talkers: list[Talker] = []
        for number in range(2 * PAIRS):
            person = await self.stage.person(f"talker {number}")
            self.talkers.append(await self.online(person, "phone"))

    async def online(self, person: Person, device: str) -> Talker:
        talker = Talker(self.stage, person, device, self.reactor)
        self.addCleanup(talker.client.stop)
        await talker.client.start()
        return talker

    async def until(self, wanted: str, reached: Any) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not reached():
            if time.monotonic() > deadline_s:
                self.fail(f"not within {PATIENCE_S:g} s: {wanted}")
            await sleep(0.02, clock=self.reactor)

    def stored(self) -> list[SentMessage]:
        return [sent for talker in self.talkers for sent in talker.stored]

    def all_talk(self) -> None:
        for first, second in zip(self.talkers[::2], self.talkers[1::2], strict=True):
            for _ in range(AT_ONCE // 2):
                self.tasks.spawn("talk", first.talk_to(second.person.user_id))
                self.tasks.spawn("talk", second.talk_to(first.person.user_id))

    async def test_restored(self) -> None:
        """What was STORED before the backup is there once, in its place, for clients of the old epoch and for new ones.

        Meanwhile one backup is killed half-way, and two are made at once.
        """
        await self.opens()
        self.all_talk()
        await self.until("stored before", lambda: len(self.stored()) >= BEFORE)
        await self.kills_one_half_way()
        before = self.stored()
        running = started("backup", "--data", self.data, "--to", self.parent / "one")
        other = started("backup", "--data", self.data, "--into", self.server.folder / "backups2")
        code, said = await deferToThread(ended, running)
        self.assertEqual(code, 0, said)
        self.assertEqual(ended(other)[0], TARGET, "a folder that is not there is not made")
        await self.until("stored meanwhile", lambda: len(self.stored()) >= len(before) + MEANWHILE)
        await self.makes_two_at_once()
        for talker in self.talkers:
            talker.falls_silent()
        await self.stage.server_is_killed()
        await self.until("all notice", lambda: all(talker.lost_the_line for talker in self.talkers))
        self.data.rename(self.data.with_name("lost"))
        said = await deferToThread(imctl, "restore", "--from", self.parent / "one", "--data", self.data)
        self.assertIn("under a new epoch", said)
        await self.stage.server_starts()
        await self.until("all catch up", lambda: all(talker.caught_up for talker in self.talkers))
        await self.until("what was under way is stored", lambda: not len(self.tasks))
        fresh = [await self.online(talker.person, "laptop") for talker in self.talkers]
        for old, new in zip(self.talkers, fresh, strict=True):
            await self.until("both know the same", lambda old=old, new=new: old.seen == new.seen)
            self.check(new, before)
        known = set[int]().union(*(each.ids() for each in fresh))
        gone = [sent for sent in self.stored() if sent.server_msg_id not in known]
        self.assertTrue(gone, "the folder shows an earlier time than the one that was lost")

    def check(self, device: Talker, before: list[SentMessage]) -> None:
        """It saw its conversation whole, and in it once, and where it was, what had been STORED."""
        ids = device.seen
        (conversation_id,) = {conversation_id for conversation_id, _ in ids}
        self.assertEqual(sorted(seq for _, seq in ids), list(range(1, len(ids) + 1)))
        for sent in before:
            if sent.conversation_id == conversation_id:
                self.assertEqual(ids[conversation_id, sent.seq], [sent.server_msg_id])

    async def kills_one_half_way(self) -> None:
        target = self.parent / "killed"
        running = started("backup", "--data", self.data, "--to", target, first=_HALF_WAY)
        half = self.parent / ".killed.imd-half"
        await self.until("a backup is half-way", (half / "last-seqs.tsv").exists)
        running.kill()
        code, said = await deferToThread(ended, running)
        self.assertEqual(code, -9, said)
        self.assertFalse(target.exists())
        self.assertTrue(half.exists(), "it was killed before it was done")

    async def makes_two_at_once(self) -> None:
        parents = [self.server.folder / name for name in ("left", "right")]
        for parent in parents:
            parent.mkdir()
        running = [started("backup", "--data", self.data, "--to", parent / "b") for parent in parents]
        for each, parent in zip(running, parents, strict=True):
            code, said = await deferToThread(ended, each)
            self.assertEqual(code, 0, said)
            self.assertEqual([path.name for path in parent.iterdir() if not path.name.startswith(".")], ["b"])
        self.assertFalse((self.parent / ".killed.imd-half").exists(), "the next one cleared it away")
