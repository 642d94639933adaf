"""The business role by itself, on a data folder full of conversations: what permission questions are put to."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from imd.bus.port import Bus
from imd.business.groups.model import Group, group_id
from imd.business.groups.sql import SqlGroups
from imd.business.groups.sql_steps import Admitting
from imd.client.load.crowd import ConversationWish, CrowdWish
from imd.config.sections import Config
from imd.kernel.clocks import system_wall_clock
from imd.kernel.lifecycle import Stage
from imd.kernel.timeouts import sleep
from imd.roles.business import BusinessRole, build_business
from imd.roles.business_stores import embedded_business
from imd.roles.measure.nats_server import bus_to
from imd.roles.seed import seed

GROUP_MEMBERS = 10_000
#: Of two people each; more than a second's worth of questions, so that no cache of the database's helps.
DIRECT_CONVERSATIONS = 5_000
_LOOK_S = 0.5


class Town(msgspec.Struct, frozen=True):
    """The conversations that are there, and how long it took to make the large group."""

    direct: list[str]
    group: str
    group_created_s: float


class Authority(NamedTuple):
    """A business role that answers."""

    role: BusinessRole
    town: Town


async def answer(folder: Path, bus: Bus, *, reactor: Any) -> Authority:
    """Make the conversations and answer questions about them on the bus, which is started."""
    config = Config(data_dir=str(folder))
    wish = CrowdWish(
        users=GROUP_MEMBERS,
        conversations=[
            ConversationWish("p2p", [2 * index, 2 * index + 1]) for index in range(DIRECT_CONVERSATIONS)
        ],
    )
    crowd = seed(config, wish, wall_clock=system_wall_clock)
    role = build_business(
        config,
        reactor=reactor,
        clock=reactor,
        wall_clock=system_wall_clock,
        bus=bus,
        stores=embedded_business(folder),
    )
    for _, stage in role.stages:
        await stage.start()
    user_ids = [person.user_id for person in crowd.people]
    groups = SqlGroups(
        role.database, admitting=Admitting(max_members=GROUP_MEMBERS, groups_per_user=GROUP_MEMBERS)
    )
    group = Group(group_id(user_ids[0]), "Bench", 1, 1, system_wall_clock(), 1)
    begun_s = reactor.seconds()
    await groups.create(group, user_ids[0], user_ids)
    created_s = reactor.seconds() - begun_s
    return Authority(role, Town(crowd.conversations, group.conversation_id, round(created_s, 3)))


async def stop(stages: Sequence[tuple[str, Stage]]) -> None:
    """In reverse order."""
    for _, stage in reversed(stages):
        await stage.stop()


async def serve(reactor: Any, folder: Path, address: str) -> None:
    """Answer for as long as the process that started this one is there; what there is is said in one line."""
    parent = os.getppid()
    bus = bus_to(address, "business", reactor=reactor)
    await bus.start()
    answering = await answer(folder, bus, reactor=reactor)
    sys.stdout.buffer.write(msgspec.json.encode(answering.town) + b"\n")
    sys.stdout.flush()
    while os.getppid() == parent:
        await sleep(_LOOK_S, clock=reactor)
    await stop(answering.role.stages)
    await bus.stop()
