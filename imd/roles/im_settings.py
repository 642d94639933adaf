"""What operators set while `twistd im` runs: as im-admin has it, kept in the data folder and heard within the process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from imd.admin.rest.api import AdminApi
from imd.admin.schema import open_admin
from imd.bus.port import Bus
from imd.kernel.clocks import system_wall_clock
from imd.kernel.lifecycle import Stage
from imd.ops.metrics.readings import Source
from imd.roles.admin import build_admin
from imd.roles.metrics.stores import sql_source
from imd.roles.stages import Pool
from imd.storage.sql import Database

_TIMEOUT_S = 10.0


class OwnSettings(NamedTuple):
    """What has to be started, and who serves /api/v1/settings and /api/v1/operators."""

    stages: list[tuple[str, Stage]]
    api: AdminApi
    #: What is counted.
    sources: list[Source]


def build_settings(data_dir: Path, *, bus: Bus, bootstrap: Callable[[], str], reactor: Any) -> OwnSettings:
    """Put it together; the file is made when its stages start."""
    pool = ThreadPool(minthreads=0, maxthreads=1, name="settings-sql")
    database = Database(
        connect=partial(open_admin, data_dir / "admin.db"),
        threads=partial(deferToThreadPool, reactor, pool),
        clock=reactor,
        timeout_s=_TIMEOUT_S,
    )
    admin = build_admin(
        database=database,
        bus=bus,
        node="admin",
        bootstrap=bootstrap,
        clock=reactor,
        wall_clock=system_wall_clock,
    )
    stages: list[tuple[str, Stage]] = [
        ("settings thread", Pool(pool)),
        ("settings database", database),
        *admin.stages,
    ]
    sources = [*admin.sources, sql_source(database, threads=1)]
    return OwnSettings(stages, admin.api, sources)


class WithSettings(Resource):
    """/api of both roles: settings and operators are im-admin's, all the rest im-business's."""

    isLeaf = True

    def __init__(self, *, admin: AdminApi, api: IResource) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._admin = admin
        self._api = api

    def render(self, request: Request) -> Any:
        wanted = self._admin if self._admin.serves(request) else self._api
        return wanted.render(request)
