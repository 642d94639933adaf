"""After a change: does every node run it?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from imd.ctl.exits import CHECK_FAILED, OK
from imd.ctl.server import Server, printable

_POLL_S = 0.05


def settle(
    server: Server,
    settings: Mapping[str, Any],
    *,
    patience_s: float,
    seconds: Callable[[], float],
    sleep: Callable[[float], None],
) -> tuple[int, list[str]]:
    """Wait until all nodes that speak run this version, or have refused it; the exit code and what to say."""
    version = settings["version"]
    if not settings["published"]:
        told = (
            f"version {version} is saved, but the bus did not take it: no node runs it yet. im-admin goes on trying, "
            "also after a restart; 'imctl settings nodes' shows when it is in force"
        )
        return CHECK_FAILED, [told]
    deadline_s = seconds() + patience_s
    while True:
        board = server.get("/settings/nodes")
        nodes = [node for node in board["nodes"] if not node["isSilent"]]
        behind = [node for node in nodes if node["version"] < version and not _has_refused(node, version)]
        if (board["isComplete"] and not behind) or seconds() >= deadline_s:
            break
        sleep(_POLL_S)
    refused = [node for node in nodes if _has_refused(node, version)]
    lines = list(_told(version, nodes, behind, refused))
    if not board["isComplete"]:
        lines.append("  im-admin has just started: a node that has not reported yet is not counted")
    return (OK if not behind and not refused else CHECK_FAILED), lines


def _told(
    version: int,
    nodes: list[Mapping[str, Any]],
    behind: list[Mapping[str, Any]],
    refused: list[Mapping[str, Any]],
) -> Iterator[str]:
    running = len(nodes) - len(behind) - len(refused)
    timed = [node for node in nodes if node["tookMs"] is not None and node["version"] == version]
    slowest = max(timed, key=lambda node: node["tookMs"], default=None)
    after = f", the last one ({slowest['node']}) after {slowest['tookMs']} ms" if slowest is not None else ""
    yield f"version {version} runs on {running} of {len(nodes)} nodes{after}"
    for node in refused:
        yield f"  {printable(node['node'])} REFUSED it and stays at version {node['version']}:"
        yield from (f"    {printable(reason)}" for reason in node["refused"]["reasons"])
    for node in behind:
        yield f"  {printable(node['node'])} is still at version {node['version']}"


def _has_refused(node: Mapping[str, Any], version: int) -> bool:
    return bool(node["refused"]) and node["refused"]["version"] == version
