"""All of a cluster: the engines, then the nodes; each command goes on from whatever is there."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from imd.ctl.cluster.configuration import DRAIN_TIMEOUT_S, Configuration
from imd.ctl.cluster.engines import Engine, EngineError, MariaDb, Mongod, Nats, RedisServer
from imd.ctl.cluster.layout import Layout, Settings, read_layout, write_layout
from imd.ctl.cluster.node import Node
from imd.ctl.cluster.process import Process

Say = Callable[[str], None]

#: In the folder: held by whoever changes the cluster.
LOCK = "lock"


class State(NamedTuple):
    """A line of ``status``; ``missing`` is empty if it is all right."""

    name: str
    address: str
    pid: int
    missing: str


class Cluster:
    """The cluster in ``folder``; its layout is what the folder was made with, or ``layout``.

    :param outlives: it goes on when this program ends; otherwise it dies with it, however that dies.
    :param settings: laid over those of the layout, and remembered with it.

    ``through`` may be filled before ``up``: see ``Configuration``.
    """

    def __init__(
        self,
        *,
        folder: Path,
        layout: Layout | None = None,
        outlives: bool = False,
        settings: Settings | None = None,
    ) -> None:
        self.folder = folder.resolve()
        before = read_layout(self.folder)
        wanted = layout or before or Layout()
        wanted.check()
        if before is not None:
            if before.mongo_members != wanted.mongo_members or before.base_port != wanted.base_port:
                raise EngineError(
                    f"{self.folder} was made with {before.mongo_members} MongoDB member(s) and ports from "
                    f"{before.base_port} on; for others: tools/cluster down --wipe"
                )
            wanted = replace(wanted, ports=before.ports)
        self.layout = wanted.with_ports()
        self.through: dict[str, int] = {}
        self._settings = _laid_over(self.layout.settings, settings or {})
        self.nats = Nats(folder=self.folder / "nats", outlives=outlives)
        self.redis = RedisServer(folder=self.folder / "redis", outlives=outlives)
        self.mariadb = MariaDb(folder=self.folder / "mariadb", outlives=outlives)
        self.mongo = Mongod(
            folder=self.folder / "mongo", outlives=outlives, members=self.layout.mongo_members
        )
        self.engines: Mapping[str, Engine] = {
            engine.name: engine for engine in (self.nats, self.redis, self.mariadb, self.mongo)
        }
        self.nodes: Mapping[str, Node] = {
            name: Node(
                name=name,
                folder=self.folder,
                ports=self.layout.ports[name],
                outlives=outlives,
                drain_timeout_s=self._drain_timeout_s(),
            )
            for name in self.layout.names()
        }
        self.configuration = Configuration(
            folder=self.folder,
            nats=self.nats,
            mongo=self.mongo,
            redis=self.redis,
            mariadb=self.mariadb,
            settings=self._settings,
            through=self.through,
        )

    def _drain_timeout_s(self) -> float:
        wanted = self._settings.get("gateway", {}).get("drain_timeout_s", DRAIN_TIMEOUT_S)
        return float(wanted) if isinstance(wanted, int | float) else DRAIN_TIMEOUT_S

    def of_role(self, role: str) -> list[Node]:
        """The nodes of ``core``, ``business`` or ``admin``."""
        return [node for node in self.nodes.values() if node.role == role]

    @property
    def made(self) -> bool:
        """Whether there is anything in the folder."""
        return read_layout(self.folder) is not None

    def processes(self) -> Mapping[str, Process]:
        """Every process by its name."""
        of_engines = {each.name: each for engine in self.engines.values() for each in engine.processes}
        return of_engines | {name: node.process for name, node in self.nodes.items()}

    def up(self, *, say: Say = lambda _: None) -> None:
        """Start what does not run, and return when every node takes traffic.

        :raises EngineError: something does not come up; what did is left as it is, for a look.
        """
        self.configuration.check()
        if (
            not self.made
            and self.folder.exists()
            and any(each.name != LOCK for each in self.folder.iterdir())
        ):
            raise EngineError(f"{self.folder} holds something else; name an empty folder, or a new one")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_layout(self.folder, self.layout)
        if "mongo" in self.through:
            self.mongo.advertised = [self.through["mongo"]]
        for node in self.nodes.values():
            self.configuration.write(node)
        # What could be written is right, and worth to be remembered.
        write_layout(self.folder, replace(self.layout, settings=self._settings))
        for engine in self.engines.values():
            self._start_engine(engine, say)
        started = self._launch_first(say)
        for node in self.nodes.values():
            if not node.running:
                node.launch()
                started.append(node)
        for node in self.nodes.values():
            node.wait_ready()
            say(f"{node.name} {'is ready' if node in started else 'runs already'}")

    def _start_engine(self, engine: Engine, say: Say) -> None:
        if all(process.running for process in engine.processes):
            say(f"{engine.name} runs already")
            return
        # Of three members one may have died.
        engine.stop()
        engine.start()
        say(f"{engine.name} is ready")

    def _launch_first(self, say: Say) -> list[Node]:
        """One im-business alone, which makes the tables."""
        first = self.of_role("business")[0]
        if first.running:
            return []
        first.launch()
        first.wait_ready()
        return [first]

    def down(self, *, say: Say = lambda _: None) -> None:
        """Cores first, which let their clients go; then who answered them; then what those wrote to."""
        for role in ("core", "business", "admin"):
            running = [node for node in self.of_role(role) if node.running]
            for node in running:
                node.process.terminate()
            for node in running:
                say(f"{node.name} {'has ended' if node.stop() else 'did not end, and was killed'}")
        for engine in self.engines.values():
            if engine.running:
                engine.stop()
                say(f"{engine.name} has ended")

    def kill(self) -> None:
        """SIGKILL to everything."""
        for process in self.processes().values():
            process.kill()

    def wipe(self) -> None:
        """Delete the folder.

        :raises EngineError: something runs, or it is no cluster's folder.
        """
        if not self.made:
            raise EngineError(f"{self.folder} is no folder of a cluster")
        running = [name for name, process in self.processes().items() if process.running]
        if running:
            raise EngineError(f"{', '.join(running)} still run; tools/cluster down")
        shutil.rmtree(self.folder)

    def status(self) -> list[State]:
        """Of every process."""
        states = [
            State(process.name, address, process.pid, engine.missing() if process.running else "does not run")
            for engine in self.engines.values()
            for process, address in zip(engine.processes, engine.addresses, strict=True)
        ]
        for node in self.nodes.values():
            missing = node.missing() if node.running else "does not run"
            states.append(State(node.name, f"{node.host}:{node.ports['http']}", node.process.pid, missing))
        return states


def _laid_over(below: Settings, above: Settings) -> dict[str, dict[str, object]]:
    both = {name: dict(section) for name, section in below.items()}
    for name, section in above.items():
        both.setdefault(name, {}).update(section)
    return both
