"""Who talks with whom in each scenario, and which process plays whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from imd.client.load.crowd import ConversationWish, Crowd, CrowdWish
from imd.client.load.options import Options
from imd.client.load.plan import DevicePlan, WorkerPlan

#: Loopback has about 28,000 ephemeral ports an address; stay well below.
_CONNECTIONS_PER_SOURCE: Final = 20_000


def wish(options: Options) -> CrowdWish:
    """The people and conversations of a scenario."""
    count = options.connections
    if options.scenario in ("p2p", "reconnect"):
        pairs = [ConversationWish("p2p", [first, first + 1]) for first in range(0, count, 2)]
        return CrowdWish(count, pairs)
    if options.scenario in ("one-conversation", "group"):
        return CrowdWish(count, [ConversationWish("group", list(range(count)))])
    return CrowdWish(count)


def _devices(options: Options, crowd: Crowd) -> list[DevicePlan]:
    conversations: list[list[str]] = [[] for _ in range(options.connections)]
    for wished, name in zip(wish(options).conversations, crowd.conversations, strict=False):
        for member in wished.members:
            conversations[member].append(name)
    pairs = options.scenario in ("p2p", "reconnect")
    return [
        DevicePlan(
            index=index,
            token=person.token,
            device_id=person.device_id,
            conversations=conversations[index],
            sends=bool(conversations[index]) and (pairs or index < options.senders),
        )
        for index, person in enumerate(crowd.people[: options.connections])
    ]


def plans(options: Options, crowd: Crowd, *, addresses: Sequence[tuple[str, int]]) -> list[WorkerPlan]:
    """One plan a worker; both ends of a pair are in the same worker."""
    devices = _devices(options, crowd)
    shares: list[list[DevicePlan]] = [[] for _ in range(options.workers)]
    for device in devices:
        shares[device.index // 2 % options.workers].append(device)
    sources: list[str] = []
    if options.connections > _CONNECTIONS_PER_SOURCE and addresses[0][0] == "127.0.0.1":
        sources = [f"127.0.0.{n + 1}" for n in range(options.connections // _CONNECTIONS_PER_SOURCE + 1)]
    senders = sum(device.sends for device in devices) or 1
    return [
        WorkerPlan(
            addresses=list(addresses),
            devices=share,
            window=options.window,
            rate_per_s=options.rate_per_s * sum(device.sends for device in share) / senders,
            text_bytes=options.text_bytes,
            many_receivers=options.scenario in ("one-conversation", "group"),
            jitter_s=options.jitter_s,
            sources=sources,
        )
        for share in shares
    ]
