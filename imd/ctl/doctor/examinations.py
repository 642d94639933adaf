"""Everything that is looked at for some configurations; the same server in two of them is looked at once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from imd.config.listeners import value_at
from imd.ctl.doctor import disk, folder, listeners, mongo, mysql, nats, redis, sqlite
from imd.ctl.doctor.certificates import certificates
from imd.ctl.doctor.clocks import own_clock
from imd.ctl.doctor.finding import Finding
from imd.ctl.doctor.running import Examination
from imd.ctl.doctor.secrets import secrets
from imd.ctl.doctor.targets import Target, agreement, valid
from imd.ctl.doctor.versions import versions
from imd.ctl.doctor.world import World

#: Of what asks nobody outside, or this machine only.
_LOCAL_S = 15.0
#: Where roles of the cluster write a little for themselves.
_SMALL_FOLDERS = ("settings_dir", "record_dir")


def examinations_of(
    targets: Sequence[Target], world: World, *, nats_monitors: Sequence[str]
) -> list[Examination]:
    """In the order in which they are told."""
    clock = partial(own_clock, wall_clock=world.wall_clock, seconds=world.seconds, wait=time.sleep)
    return [
        Examination("versions", versions, _LOCAL_S),
        Examination("configuration", partial(_configurations, targets), _LOCAL_S),
        Examination("secrets", partial(secrets, targets), _LOCAL_S),
        Examination("this machine's clock", clock, _LOCAL_S),
        *chain.from_iterable(_of_role(target, world) for target in targets),
        *chain.from_iterable(_of_folder(target, world) for target in targets),
        *_of_engines(targets, world),
        *(Examination(f"NATS at {url}", partial(nats.monitor, url), _LOCAL_S) for url in nats_monitors),
    ]


def _configurations(targets: Sequence[Target]) -> Iterator[Finding]:
    for target in targets:
        yield from valid(target)
    yield from agreement(targets)


def _of_role(target: Target, world: World) -> Iterator[Examination]:
    if target.is_wrong("listen"):
        return
    yield Examination(
        f"the server of {target.name}", partial(listeners.server, target, proc=world.proc), _LOCAL_S
    )
    yield Examination(f"certificates of {target.name}", partial(certificates, target, world), _LOCAL_S)


def _of_folder(target: Target, world: World) -> Iterator[Examination]:
    for key in _SMALL_FOLDERS:
        place = value_at(target.config, key)
        if place and not target.is_wrong(key) and Path(place).is_dir():
            about = f"{key} of {target.name}, {place}"
            yield Examination(about, partial(_space, about, Path(place)), _LOCAL_S)
    if target.role != "im" or target.is_wrong("data_dir"):
        return
    path = Path(target.config.data_dir)
    yield Examination(f"the folder {path}", partial(folder.folder, path), _LOCAL_S)
    if path.is_dir():
        yield Examination(f"the disk of {path}", partial(disk.disk, path, proc=world.proc), _LOCAL_S)
        files = len(list(path.glob("*.db")))
        yield Examination(
            f"the databases in {path}",
            partial(sqlite.databases, path, seconds=world.seconds),
            files * sqlite.LOOK_TIMEOUT_S + _LOCAL_S,
        )


def _space(about: str, folder: Path) -> Iterator[Finding]:
    yield from disk.space(about, disk.space_of(folder))


def _of_engines(targets: Sequence[Target], world: World) -> Iterator[Examination]:
    # Roles are told apart there by their accounts, or should be.
    for role, config in _distinct(targets, "nats", by_role=True):
        about = f"NATS {', '.join(config.servers)} as {config.user or 'nobody'}"
        yield Examination(
            about, partial(nats.nats, role, config, world), len(config.servers) * nats.TIMEOUT_S
        )
    for _, config in _distinct(targets, "mongo"):
        about = f"MongoDB {', '.join(config.hosts)}"
        yield Examination(about, partial(mongo.mongo, config, world), mongo.TIMEOUT_S)
    for _, config in _distinct(targets, "redis"):
        yield Examination(f"Redis {config.address}", partial(redis.redis, config, world), redis.TIMEOUT_S)
    for _, config in _distinct(targets, "sql"):
        nodes = sum(target.section("sql") == config for target in targets)
        yield Examination(
            f"MySQL {config.address}", partial(mysql.mysql, config, world, roles=nodes), mysql.TIMEOUT_S
        )


def _distinct(targets: Sequence[Target], section: str, *, by_role: bool = False) -> Iterator[tuple[str, Any]]:
    """Each different section of that name that is right, with the role that it is of."""
    seen: list[Any] = []
    for target in targets:
        config = target.section(section)
        known = (target.role, config) if by_role else config
        if config is not None and known not in seen:
            seen.append(known)
            yield target.role, config
