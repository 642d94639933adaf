"""Every node's TOML, and the files with secrets that it names."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path

from imd.config.load import ConfigError, keys, load
from imd.config.section import Section
from imd.config.sections import AdminConfig, BusinessConfig, CoreConfig
from imd.ctl.cluster.engine import HOST, write_secret
from imd.ctl.cluster.engines import MariaDb, Mongod, Nats, RedisServer
from imd.ctl.cluster.layout import Settings
from imd.ctl.cluster.node import Node
from imd.ctl.cluster.process import EngineError

KINDS: Mapping[str, type[Section]] = {"core": CoreConfig, "business": BusinessConfig, "admin": AdminConfig}

#: On a laptop nobody waits two minutes for clients that were left open.
DRAIN_TIMEOUT_S = 15.0

_HEAD = """\
# Written by `tools/cluster up`, each time: use its --set SECTION.KEY=VALUE, which it remembers.
# All keys are explained in etc/im-{role}.toml.
"""


class Configuration:
    """Writes the files into ``folder``.

    :param through: ports at which nodes find an engine instead of its own, those of proxies:
        ``{"redis": 2345}`` for all nodes, ``{"core-1/redis": 2345}`` for one.
    """

    def __init__(
        self,
        *,
        folder: Path,
        nats: Nats,
        mongo: Mongod,
        redis: RedisServer,
        mariadb: MariaDb,
        settings: Settings,
        through: Mapping[str, int],
    ) -> None:
        self._folder = folder
        self._secrets = folder / "secrets"
        self._nats = nats
        self._mongo = mongo
        self._redis = redis
        self._mariadb = mariadb
        self._settings = settings
        self._through = through

    @property
    def operator_token_file(self) -> Path:
        """What an operator's requests to im-admin carry; made by im-admin."""
        return self._secrets / "admin.token"

    def check(self) -> None:
        """:raises EngineError: a setting belongs to no role."""
        known = {path for kind in KINDS.values() for path, _ in keys(kind)}
        unknown = [path for path, _ in self._wanted() if path not in known]
        if unknown:
            raise EngineError(f"no role knows {', '.join(unknown)}; see etc/im-*.toml")

    def write(self, node: Node) -> None:
        """The node's file and its secrets; what is written is known to load.

        :raises EngineError: a setting has a wrong value.
        """
        self._secrets.mkdir(mode=0o700, exist_ok=True)
        sections = self._sections(node)
        known = {path for path, _ in keys(KINDS[node.role])}
        for path, value in self._wanted():
            if path in known:
                name, _, key = path.rpartition(".")
                sections.setdefault(name, {})[key] = value
        write_secret(node.config_file, _HEAD.format(role=node.role) + _toml(sections))
        try:
            load(str(node.config_file), {}, KINDS[node.role])
        except ConfigError as error:
            raise EngineError(str(error)) from None

    def _wanted(self) -> list[tuple[str, object]]:
        return [
            (f"{name}.{key}" if name else key, value)
            for name, section in self._settings.items()
            for key, value in section.items()
        ]

    def _sections(self, node: Node) -> dict[str, dict[str, object]]:
        listen = {what: f"{node.host}:{port}" for what, port in node.ports.items()}
        # Told nowhere, where a test has no port for it.
        metrics = listen.pop("metrics", "")
        common: dict[str, dict[str, object]] = {
            "": {"node_id": node.number},
            "listen": dict(listen),
            "metrics": {"listen": metrics},
            "nats": {
                "servers": [f"nats://{self._address(node, 'nats', self._nats.port)}"],
                "user": node.role,
                "password_file": self._secret(f"nats-{node.role}", self._nats.passwords[node.role]),
            },
        }
        common[""]["settings_dir"] = str(self._folder)
        if node.role == "core":
            common[""]["record_dir"] = str(self._folder)
        if node.role == "core":
            return common | {
                "gateway": {"drain_timeout_s": DRAIN_TIMEOUT_S},
                "mongo": self._mongo_section(node),
                "redis": {
                    "address": self._address(node, "redis", self._redis.port),
                    "password_file": self._secret("redis", self._redis.password),
                },
            }
        if node.role == "business":
            common[""]["token_secret_file"] = self._token_secret()
            common[""]["operator_token_file"] = str(self.operator_token_file)
        else:
            common[""]["bootstrap_token_file"] = str(self.operator_token_file)
        return common | {
            "sql": {
                "address": self._address(node, "mariadb", self._mariadb.port),
                "database": self._mariadb.database,
                "user": self._mariadb.user,
                "password_file": self._secret("mariadb", self._mariadb.password),
            }
        }

    def _mongo_section(self, node: Node) -> dict[str, object]:
        ports = self._mongo.advertised
        proxy = self._through.get(f"{node.name}/mongo") or self._through.get("mongo")
        return {
            "hosts": [f"{HOST}:{port}" for port in ([proxy] if proxy else ports)],
            "database": self._mongo.database,
            "user": self._mongo.user,
            "password_file": self._secret("mongo", self._mongo.password),
        }

    def _address(self, node: Node, engine: str, port: int) -> str:
        port = self._through.get(f"{node.name}/{engine}") or self._through.get(engine) or port
        return f"{HOST}:{port}"

    def _secret(self, name: str, text: str) -> str:
        file = self._secrets / name
        write_secret(file, text + "\n")
        return str(file)

    def _token_secret(self) -> str:
        """Signs tokens: made once, for as long as the accounts live."""
        file = self._secrets / "token.key"
        if not file.exists():
            write_secret(file, secrets.token_hex(32) + "\n")
        return str(file)


def _toml(sections: Mapping[str, Mapping[str, object]]) -> str:
    """JSON's scalars and lists are TOML's."""
    lines: list[str] = []
    for name in sorted(sections):
        if name:
            lines.append(f"\n[{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in sections[name].items()]
    return "\n".join(lines) + "\n"
