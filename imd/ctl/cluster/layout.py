"""Which nodes there are, and on which ports; written down, so that the next command finds them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import field
from msgspec.structs import replace

from imd.config.section import Section
from imd.ctl.cluster.engine import free_port, write_secret
from imd.ctl.cluster.process import EngineError

#: Section -> key -> value, laid over what a role's file has anyway; a role takes what it knows.
Settings = Mapping[str, Mapping[str, object]]

#: The port that ``twistd im`` has, too: whatever shows that one shows this cluster.
DEFAULT_BASE_PORT = 7700
#: More would need other ports, and another machine.
MOST = {"core": 10, "business": 5, "admin": 5}
_FILE = "cluster.json"
_HTTP = {"core": 80, "business": 90, "admin": 95}
_METRICS = {"core": 60, "business": 70, "admin": 75}


class Layout(Section, frozen=True):
    """How many of what, and where."""

    cores: int = 2
    business: int = 2
    admins: int = 1
    mongo_members: int = 1
    base_port: int = DEFAULT_BASE_PORT
    """0: any free ports."""
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    ports: dict[str, dict[str, int]] = field(default_factory=dict)
    """Node -> listener -> port; filled by ``with_ports``."""

    def names(self) -> list[str]:
        """All nodes, in the order in which they are started."""
        counts = {"business": self.business, "admin": self.admins, "core": self.cores}
        return [f"{role}-{number}" for role, count in counts.items() for number in range(1, count + 1)]

    def with_ports(self) -> Layout:
        """The same, with a port for every listener of every node."""
        ports = {}
        for name in self.names():
            known = self.ports.get(name, {})
            # A folder of an older version has fewer listeners.
            ports[name] = known if known.keys() >= _listeners(name) else self._new_ports(name) | known
        return replace(self, ports=ports)

    def _new_ports(self, name: str) -> dict[str, int]:
        role, _, number = name.partition("-")
        first = self.base_port + int(number) - 1
        wanted = {"http": first + _HTTP[role], "metrics": first + _METRICS[role]}
        if role == "core":
            wanted["tcp"] = first
        return {what: port if self.base_port else free_port() for what, port in wanted.items()}

    def check(self) -> None:
        """:raises EngineError: it cannot be."""
        for role, count, least in (
            ("core", self.cores, 1),
            ("business", self.business, 1),
            ("admin", self.admins, 0),
        ):
            if not least <= count <= MOST[role]:
                raise EngineError(f"{count} im-{role}; expected {least} to {MOST[role]} on one machine")
        if self.mongo_members not in (1, 3):
            raise EngineError(f"{self.mongo_members} members of the MongoDB replica set; expected 1 or 3")
        if self.base_port and not 1024 <= self.base_port <= 65_000:
            raise EngineError(f"ports from {self.base_port} on; expected 1024 to 65000")


def _listeners(name: str) -> set[str]:
    return {"http", "metrics", *(["tcp"] if name.startswith("core-") else [])}


def read_layout(folder: Path) -> Layout | None:
    """What a folder was made with, or None if it was not."""
    try:
        return Layout(**json.loads((folder / _FILE).read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise EngineError(
            f"{folder / _FILE} is damaged ({error}); remove the folder and start anew"
        ) from None


def write_layout(folder: Path, layout: Layout) -> None:
    """For the next command."""
    known = {name: getattr(layout, name) for name in layout.__struct_fields__}
    write_secret(folder / _FILE, json.dumps(known, indent=1))
