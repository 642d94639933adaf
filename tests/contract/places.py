"""What every finder of messages by their server ids promises."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.core.explain.ports import Places
from imd.core.message.model import Place
from imd.core.message.ports import MessageLog
from imd.kernel.ids import snowflake_at
from tests.contract.bus import scenario
from tests.contract.message_log import message

HOUR_MS = 3600 * 1000
START_MS = 1_764_000_000_000


class PlacesContract(SynchronousTestCase):
    """Scenarios; ``drive`` and ``make_both`` come from the implementation."""

    async def make_both(self) -> tuple[MessageLog, Places]:
        """An empty log, and what finds its messages."""
        raise NotImplementedError

    @scenario
    async def test_located(self) -> None:
        """Each message of many hours is found by its id alone; an id that nobody has is not."""
        log, places = await self.make_both()
        placed: dict[int, Place] = {}
        for seq in range(1, 200):
            conversation = f"c{seq % 7}"
            server_msg_id = snowflake_at(START_MS + seq * HOUR_MS // 10) + seq % 5
            row = message(1 + seq // 7, conversation=conversation)._replace(server_msg_id=server_msg_id)
            await log.append([row])
            placed[server_msg_id] = Place(conversation, row.seq)
        for server_msg_id, place in placed.items():
            self.assertEqual(await places.locate(server_msg_id), place)
            self.assertIsNone(await places.locate(server_msg_id + 1000))
        self.assertIsNone(await places.locate(1))
        self.assertIsNone(await places.locate((1 << 63) - 1))

    @scenario
    async def test_late(self) -> None:
        """A message that was stored minutes after others that came later is found."""
        log, places = await self.make_both()
        late = snowflake_at(START_MS)
        for seq in range(1, 60):
            row = message(seq)._replace(server_msg_id=snowflake_at(START_MS + seq * 5_000))
            await log.append([row])
        await log.append([message(60)._replace(server_msg_id=late)])
        self.assertEqual(await places.locate(late), Place("c1", 60))

    @scenario
    async def test_empty(self) -> None:
        """Where nothing is stored nothing is found."""
        _, places = await self.make_both()
        self.assertIsNone(await places.locate(5))
