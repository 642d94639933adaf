"""``python -m imd.roles.openapi``: what ``GET /api/v1/openapi.json`` of a running server answers, without one."""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec
from argon2 import PasswordHasher
from twisted.internet.defer import execute
from twisted.internet.task import Clock

from imd.bus.local import LocalBus
from imd.business.rest.openapi import describe
from imd.business.schema import open_business
from imd.config.sections import Config
from imd.kernel.tasks import Tasks
from imd.ops.version import version
from imd.roles.business import assemble
from imd.storage.sql import Database


def document() -> dict[str, Any]:
    """The OpenAPI document; nothing is opened or started for it."""
    clock = Clock()
    parts = assemble(
        Config(),
        database=Database(connect=lambda: open_business(None), threads=execute, clock=clock),
        hasher=PasswordHasher(),
        hash_threads=execute,
        secret=lambda: b"",
        is_operator=lambda _: False,
        posts=None,
        clock=clock,
        wall_clock=lambda: 0,
        bus=LocalBus(clock=clock),
        tasks=Tasks(),
    )
    whole: dict[str, Any] = msgspec.to_builtins(describe(parts.api.operations, version()))
    return whole


if __name__ == "__main__":
    json.dump(document(), sys.stdout, indent=2)
    sys.stdout.write("\n")
