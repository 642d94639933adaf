"""A whole cluster for tests: real engines, two core and two business nodes, one admin, on loopback."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Self

from imd.business.schema import open_business_on
from imd.client.transport import Dial
from imd.config.load import load
from imd.config.sections import BusinessConfig
from imd.ctl.cluster.cluster import Cluster
from imd.ctl.cluster.layout import Layout
from imd.ctl.cluster.node import Node
from imd.roles.sql import mysql_server
from tests.dialogue.house import INHABITANTS, Face
from tests.dialogue.town import Town
from tests.dialogue.wire import Transport
from tests.live.engines import skipped_without_program
from tests.live.server import Settings


def new_cluster(
    settings: Settings,
    *,
    through: Mapping[str, int] | None = None,
    prepare: Callable[[Cluster], None] | None = None,
    **layout: Any,
) -> Cluster:
    """A cluster that is up, in a folder that goes with this process; blocks.

    :param prepare: is called before it is started, when its ports are known.
    :raises SkipTest: an engine is not installed, and $CI is not set.
    """
    folder = Path(tempfile.mkdtemp(prefix="imd-cluster-"))
    cluster = Cluster(folder=folder, layout=Layout(base_port=0, **layout), settings=settings)
    cluster.through.update(through or {})
    if prepare is not None:
        prepare(cluster)

    def close() -> None:
        cluster.kill()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(close)
    with skipped_without_program():
        cluster.up()
    return cluster


def town_of(cluster: Cluster, *, inhabitants: int = INHABITANTS) -> Town:
    """People who can log in to it; once a cluster."""
    file = cluster.of_role("business")[0].config_file
    config = load(str(file), {}, BusinessConfig)
    secret = Path(config.token_secret_file).read_text().strip().encode()
    engine = open_business_on(mysql_server(config.sql), connections=1)
    return Town(engine=engine, secret=secret, inhabitants=inhabitants)


class ClusterHouse:
    """``House``: each device of a dialogue comes to another core node than the one before."""

    _open: ClassVar[dict[str, Self]] = {}

    def __init__(self, settings: Settings) -> None:
        # All that there is to say, for who looks for secrets in it.
        talkative = {"level": "debug", "lines_per_s": 0}
        self.cluster = new_cluster({**settings, "log": {**talkative, **settings.get("log", {})}})
        self.town = town_of(self.cluster)
        self._cores, self._business = count(), count()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The one with these settings, shared by all dialogues and ended with the process."""
        key = repr(settings)
        if key not in cls._open:
            cls._open[key] = cls(settings)
        return cls._open[key]

    @property
    def cores(self) -> list[Node]:
        return self.cluster.of_role("core")

    @property
    def http_url(self) -> str:
        business = self.cluster.of_role("business")
        return business[next(self._business) % len(business)].http_url

    @property
    def operator_token(self) -> str:
        return self.cluster.configuration.operator_token_file.read_text().strip()

    @property
    def log(self) -> str:
        return "".join(
            node.process.log_file.read_text(errors="replace") for node in self.cluster.nodes.values()
        )

    @property
    def secrets(self) -> dict[str, str]:
        """Passwords, keys and tokens of the whole cluster, by the names of their files."""
        files = [path for path in (self.cluster.folder / "secrets").rglob("*") if path.is_file()]
        return {path.name: path.read_text().strip() for path in files}

    @classmethod
    def opened(cls) -> list[Self]:
        """Those in which something was played."""
        return list(cls._open.values())

    @property
    def running(self) -> bool:
        return all(node.running for node in self.cluster.nodes.values())

    def dial(self, transport: Transport, reactor: Any) -> Dial:
        node = self.cores[next(self._cores) % len(self.cores)]
        return transport.dial(Face(node.ports["tcp"], node.ws_url), reactor)

    def start(self) -> None:
        self.cluster.up()

    def stop(self) -> None:
        for node in self.cores:
            node.process.terminate()
        for node in self.cores:
            node.stop()

    def kill(self) -> None:
        for node in self.cores:
            node.kill()
