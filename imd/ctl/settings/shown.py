"""Settings as people read them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from imd.ctl.server import printable
from imd.ctl.settings.values import flat

_ACTS = {
    "set": "set",
    "rollback": "rolled back",
    "gray": "gray release",
    "promote": "gray release promoted to all",
    "withdraw": "gray release withdrawn",
    "lift": "saved again above what nodes ran",
}


def value(given: Any) -> str:
    """As it is written on the command line."""
    return printable(json.dumps(given, ensure_ascii=False))


def version_line(settings: Mapping[str, Any]) -> str:
    """Who did what, when and why."""
    if not settings["version"]:
        return "version 0: nothing is set; each node goes by its own file"
    author = settings["author"] or "somebody"
    comment = f": {printable(settings['comment'])}" if settings["comment"] else ""
    act = _ACTS.get(settings["act"], settings["act"])
    return (
        f"version {settings['version']}, {act} by {printable(author)}, {time(settings['changedAt'])}{comment}"
    )


def settings_lines(settings: Mapping[str, Any]) -> Iterator[str]:
    """One version, whole."""
    yield version_line(settings)
    for key, given in sorted(flat(settings["settings"]).items()):
        yield f"  {printable(key)} = {value(given)}"
    gray = settings["gray"]
    if gray is not None:
        yield f"gray release {gray['id']}, for {whom(gray)}"
        for key, given in sorted(flat(gray["settings"]).items()):
            yield f"  {printable(key)} = {value(given)}"


def whom(gray: Mapping[str, Any]) -> str:
    """Whom a release is for."""
    users = len(gray["users"])
    some = [
        *([f"{gray['percent']:g} % of users"] if gray["percent"] else []),
        *([f"{users} named user{'s' if users != 1 else ''}"] if users else []),
    ]
    parts = [" and ".join(some) or "everybody"]
    if gray["clientVersions"]:
        parts.append(f"with a client of {', '.join(map(printable, gray['clientVersions']))}")
    if gray["zones"]:
        parts.append(f"at nodes in {', '.join(map(printable, gray['zones']))}")
    return " ".join(parts)


def difference_lines(diff: Mapping[str, Any]) -> Iterator[str]:
    """What one version says otherwise than another."""
    yield f"from version {diff['from']} to {diff['to']}:"
    for change in diff["changes"]:
        before, after = ("(file)" if change[side] is None else value(change[side]) for side in ("from", "to"))
        yield f"  {printable(change['key'])}: {before} -> {after}"
    if diff["grayFrom"] != diff["grayTo"]:
        for sign, gray in (("-", diff["grayFrom"]), ("+", diff["grayTo"])):
            if gray is not None:
                keys = ", ".join(f"{key} = {value(given)}" for key, given in flat(gray["settings"]).items())
                yield f"  {sign} gray release {gray['id']} for {whom(gray)}: {keys}"
    elif not diff["changes"]:
        yield "  no difference"


def node_lines(board: Mapping[str, Any]) -> Iterator[str]:
    """Which node runs which version."""
    yield f"current: version {board['version']}{'' if board['published'] else ' (NOT PUBLISHED YET)'}"
    nodes = board["nodes"]
    if not board["isComplete"]:
        yield "im-admin has just started: a node that has not reported yet is missing here for some seconds"
    if not nodes:
        yield "no node has reported yet; each does every few seconds"
        return
    width = max(4, *(len(node["node"]) for node in nodes))
    yield f"{'node':{width}}  {'version':>7}  {'took':>8}  {'in force since':<23}  state"
    for node in nodes:
        took = "-" if node["tookMs"] is None else f"{node['tookMs']} ms"
        since = time(node["appliedAt"]) if node["appliedAt"] else "-"
        yield f"{printable(node['node']):{width}}  {node['version']:>7}  {took:>8}  {since:<23}  {_state(node)}"
        for reason in (node["refused"] or {}).get("reasons", ()):
            yield f"{'':{width}}  {printable(reason)}"


def _state(node: Mapping[str, Any]) -> str:
    words = []
    if node["isSilent"]:
        words.append(f"SILENT for {node['heardSAgo']:.0f} s")
    if node["refused"]:
        words.append(f"REFUSED version {node['refused']['version']}:")
    elif not node["isCurrent"]:
        words.append("BEHIND" if not node["isSilent"] else "behind")
    if node["notKept"]:
        words.append(f"NOT KEPT for a restart ({printable(node['notKept'])})")
    if node["grayUsers"]:
        words.append(f"{node['grayUsers']} users have gray release {node['grayId']}")
    return ", ".join(words) or "ok"


def key_lines(keys: list[Mapping[str, Any]]) -> Iterator[str]:
    """What may be set."""
    for key in keys:
        bounds = f", {key['range']}" if key["range"] else ""
        by_user = "; gray by user" if key["by_user"] else ""
        yield f"{key['key']} = {value(key['default'])}   ({key['type']}{bounds}; {' and '.join(key['roles'])}{by_user})"
        if key["meaning"]:
            yield f"    {key['meaning']}"


def time(at_ms: int) -> str:
    """Of the day, in UTC."""
    return f"{datetime.fromtimestamp(at_ms / 1000, tz=UTC):%Y-%m-%d %H:%M:%S}.{at_ms % 1000:03}"
