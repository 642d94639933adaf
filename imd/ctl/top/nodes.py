"""Where the metrics of which nodes are."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from imd.config.address import parse_address, parse_host
from imd.config.metrics import AdminMetrics, BusinessMetrics, CoreMetrics, Metrics
from imd.ctl.cluster.layout import read_layout
from imd.ctl.cluster.process import EngineError
from imd.ctl.exits import USAGE, CommandFailed

#: By the word that is in the name of a role's file.
_KINDS: dict[str, type[Metrics]] = {
    "core": CoreMetrics,
    "business": BusinessMetrics,
    "admin": AdminMetrics,
    "im": Metrics,
}


class Target(NamedTuple):
    """A node's metrics port."""

    host: str
    port: int
    name: str = ""
    """The node's, where it is known before it has said it."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def defaults() -> list[Target]:
    """Where the roles say their metrics unless they are told otherwise."""
    return [_local(kind().listen) for kind in _KINDS.values()]


def named(*, metrics: Sequence[str], configs: Sequence[Path], cluster: Path | None) -> list[Target]:
    """Those that were asked for, each once.

    :raises CommandFailed: one cannot be found.
    """
    found = [_address(text) for text in metrics]
    found += [_configured(file) for file in configs]
    if cluster is not None:
        found += [_configured(file)._replace(name=file.stem) for file in _files(cluster)]
    return list({str(target): target for target in found}.values())


def _address(text: str) -> Target:
    try:
        return Target(*parse_host(text))
    except ValueError as error:
        raise CommandFailed(USAGE, f"--metrics {text}: {error}; expected HOST:PORT") from None


def _files(folder: Path) -> list[Path]:
    try:
        layout = read_layout(folder)
    except EngineError as error:
        raise CommandFailed(USAGE, str(error)) from None
    if layout is None:
        raise CommandFailed(USAGE, f"there is no cluster in {folder}; tools/cluster up makes one")
    return [folder / f"{name}.toml" for name in sorted(layout.names(), key=_as_read)]


def _as_read(name: str) -> tuple[int, str]:
    """Nodes with clients first."""
    return list(_KINDS).index(name.partition("-")[0]), name


def _configured(file: Path) -> Target:
    """From the one key that matters here: what else may be wrong in the file is not asked."""
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise CommandFailed(USAGE, f"{file} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise CommandFailed(USAGE, f"{file} is not TOML: {error}") from None
    section = document.get("metrics", {})
    words = file.stem.split("-")
    kind = next((kind for word, kind in _KINDS.items() if word in words), Metrics)
    listen = section.get("listen", kind().listen) if isinstance(section, dict) else section
    if listen == "":
        raise CommandFailed(
            USAGE, f"{file}: listen in [metrics] is empty, this node tells its metrics to nobody"
        )
    if not isinstance(listen, str):
        raise CommandFailed(USAGE, f"{file}: listen in [metrics] is {listen!r}; expected IP:PORT in quotes")
    try:
        return _local(listen)
    except ValueError as error:
        raise CommandFailed(USAGE, f"{file}: listen in [metrics], {listen!r}, {error}") from None


def _local(listen: str) -> Target:
    """Where what listens there can be reached from this machine.

    :raises ValueError: it cannot.
    """
    host, port = parse_address(listen)
    if port == 0:
        raise ValueError("port 0 is any free one; --metrics HOST:PORT names it")
    if ip_address(host).is_unspecified:
        host = "::1" if ":" in host else "127.0.0.1"
    return Target(host, port)
