"""Everything that is looked at for some configurations; the same server in two of them is looked at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from imd.ctl.doctor import disk, folder, listeners, sqlite
from imd.ctl.doctor.finding import Finding
from imd.ctl.doctor.running import Examination
from imd.ctl.doctor.targets import Target, agreement, valid
from imd.ctl.doctor.versions import versions
from imd.ctl.doctor.world import World

#: Of what asks nobody outside.
_LOCAL_S = 10.0


def examinations_of(targets: Sequence[Target], world: World) -> list[Examination]:
    """In the order in which they are told."""
    return [
        Examination("versions", versions, _LOCAL_S),
        Examination("configuration", partial(_configurations, targets), _LOCAL_S),
        *(
            Examination(
                f"the server of {target.name}", partial(listeners.server, target, proc=world.proc), _LOCAL_S
            )
            for target in targets
        ),
        *chain.from_iterable(_of_folder(target, world) for target in targets),
    ]


def _configurations(targets: Sequence[Target]) -> Iterator[Finding]:
    for target in targets:
        yield from valid(target)
    yield from agreement(targets)


def _of_folder(target: Target, world: World) -> Iterator[Examination]:
    if target.role != "im" or "data_dir" in target.examined.broken:
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
