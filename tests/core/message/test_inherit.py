"""A node dies between storing and telling; who takes over its shards tells."""

from __future__ import annotations

from collections.abc import Mapping

from imd.core.message.inherit import Inheritance
from imd.kernel.ids import snowflake_at
from tests.core.message.cluster import ClusterCase
from tests.core.message.harness import ANN, BOB, GROUP_ID


class InheritanceTests(ClusterCase):
    """Ann is connected to the node that takes over, Bob to a third one."""

    async def recent_tails(self, since_server_msg_id: int) -> Mapping[str, int]:
        self.since = since_server_msg_id
        return await self.log.last_seqs([GROUP_ID])

    def test_told(self) -> None:
        """Everybody is hinted, wherever connected, up to what the dead node stored and did not tell."""
        heir, dying = self.other(), self.owner()
        third = self.add(3)
        ann, bob = heir.connect(ANN), third.connect(BOB)
        self.wait(self.log.plant(GROUP_ID))
        inheritance = Inheritance(
            log=self,
            live=heir.live,
            fanout=heir.fanout,
            neighbours=heir.neighbours,
            clock=self.clock,
            wall_clock=self.wall_clock,
            tasks=heir.tasks,
        )
        heir.ownership.on_inherited(lambda _: inheritance.inherited(range(256)))
        self.wait(dying.die())
        self.pass_time(25)
        self.assertEqual((ann.hints, bob.hints), ([1], [1]))
        self.assertLess(self.since, snowflake_at(self.wall_clock() - 60_000))
