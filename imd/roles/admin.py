"""The admin role without its stores: settings published, operators known, and their REST API."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import NamedTuple

from imd.admin.operators.known import KnownOperators
from imd.admin.operators.rest import OperatorsApi
from imd.admin.operators.sql import SqlOperators
from imd.admin.rest.api import AdminApi
from imd.admin.settings.board import NodeBoard
from imd.admin.settings.change import ChangeSettings
from imd.admin.settings.publish import PublishSettings
from imd.admin.settings.rest import SettingsApi
from imd.admin.settings.sql import SqlSettings
from imd.bus.audit import AuditLog
from imd.bus.port import Bus
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.lifecycle import Stage
from imd.kernel.tasks import Tasks
from imd.ops.metrics.readings import Source
from imd.ops.operator_guesses import OperatorGuesses
from imd.roles.audit import audit_log
from imd.roles.metrics.audit import audit_source
from imd.roles.metrics.operators import refused_operators_source
from imd.roles.metrics.settings import publishing_source
from imd.roles.stages import Background
from imd.storage.sql import Database


class AdminRole(NamedTuple):
    """What has to be started, once bus and database are, and what has to be served."""

    stages: list[tuple[str, Stage]]
    #: To be mounted at /api.
    api: AdminApi
    #: What is counted.
    sources: list[Source]
    audit: AuditLog


def build_admin(
    *,
    database: Database,
    bus: Bus,
    node: str,
    bootstrap: Callable[[], str],
    clock: Clock,
    wall_clock: WallClock,
) -> AdminRole:
    """Put it together.

    :param node: as the audit calls it.
    :param bootstrap: the token that was made at the first start.
    """
    tasks = Tasks()
    audit = audit_log(bus, node, clock=clock, wall_clock=wall_clock)
    board = NodeBoard(bus=bus, clock=clock)
    versions, people = SqlSettings(database), SqlOperators(database)
    publish = PublishSettings(
        store=versions, bus=bus, board=board, clock=clock, wall_clock=wall_clock, tasks=tasks
    )
    guesses = OperatorGuesses(clock=clock)
    operators = KnownOperators(store=people, bootstrap=bootstrap, bus=bus, guesses=guesses)
    settings_api = SettingsApi(
        store=versions,
        change=ChangeSettings(store=versions, publish=publish),
        publish=publish,
        board=board,
        audit=audit,
    )
    operators_api = OperatorsApi(
        store=people,
        audit=audit,
        forget=operators.tell_revoked,
        wall_clock=wall_clock,
        random_hex=secrets.token_hex,
    )
    api = AdminApi(
        routes=[*settings_api.routes(), *operators_api.routes()],
        operators=operators,
        guesses=guesses,
        audit=audit,
    )
    stages: list[tuple[str, Stage]] = [
        ("operators' audit", audit),
        ("publishing of settings", Background(tasks)),
        ("settings board", board),
        ("settings", publish),
        ("operators", operators),
    ]
    sources = [audit_source(audit), publishing_source(publish), refused_operators_source(guesses)]
    return AdminRole(stages, api, sources, audit)
