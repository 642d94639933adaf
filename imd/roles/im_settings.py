"""What operators set while `twistd im` runs: as im-admin has it, kept in the data folder and heard within the process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from imd.admin.settings.publish import PublishSettings
from imd.admin.settings.rest import SettingsResource
from imd.admin.settings.sql import SqlSettings, create_tables
from imd.bus.port import Bus
from imd.kernel.clocks import system_wall_clock
from imd.kernel.lifecycle import Stage
from imd.kernel.tasks import Tasks
from imd.roles.stages import Background, Pool
from imd.storage.sql import Database
from imd.storage.sql_sqlite import open_sqlite

_TIMEOUT_S = 10.0
#: Below /api.
_PATH = [b"v1", b"settings"]


class OwnSettings(NamedTuple):
    """What has to be started, and who serves /api/v1/settings."""

    stages: list[tuple[str, Stage]]
    resource: IResource


def build_settings(
    data_dir: Path, *, bus: Bus, is_operator: Callable[[str], bool], reactor: Any
) -> OwnSettings:
    """Put it together; the file is made when its stages start."""
    pool = ThreadPool(minthreads=0, maxthreads=1, name="settings-sql")
    database = Database(
        connect=partial(_open, data_dir / "admin.db"),
        threads=partial(deferToThreadPool, reactor, pool),
        clock=reactor,
        timeout_s=_TIMEOUT_S,
    )
    tasks = Tasks()
    publish = PublishSettings(
        store=SqlSettings(database), bus=bus, clock=reactor, wall_clock=system_wall_clock, tasks=tasks
    )
    stages: list[tuple[str, Stage]] = [
        ("settings thread", Pool(pool)),
        ("settings database", database),
        ("publishing of settings", Background(tasks)),
        ("settings", publish),
    ]
    return OwnSettings(stages, SettingsResource(publish=publish, is_right=is_operator))


class WithSettings(Resource):
    """/api of both roles: settings are im-admin's, all the rest im-business's."""

    isLeaf = True

    def __init__(self, *, settings: IResource, api: IResource) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._settings = settings
        self._api = api

    def render(self, request: Request) -> Any:
        wanted = self._settings if request.postpath == _PATH else self._api
        return wanted.render(request)


def _open(path: Path) -> Engine:
    engine = open_sqlite(path)
    create_tables(engine)
    return engine
