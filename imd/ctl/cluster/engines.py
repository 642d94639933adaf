"""The servers that a cluster needs, as real processes on loopback."""

from __future__ import annotations

from imd.ctl.cluster.engine import Engine, MissingProgram
from imd.ctl.cluster.mariadb import MariaDb
from imd.ctl.cluster.mongod import Mongod
from imd.ctl.cluster.nats import Nats
from imd.ctl.cluster.process import EngineError
from imd.ctl.cluster.redis import RedisServer

__all__ = ["Engine", "EngineError", "MariaDb", "MissingProgram", "Mongod", "Nats", "RedisServer"]
