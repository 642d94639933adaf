"""What is wrong at first sight: what an operator should look at before reading figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from imd.ctl.top.figures import Figures
from imd.kernel.ids import SHARD_COUNT

#: A reactor that answers later than this makes everybody wait; etc/prometheus/rules.yml has the same.
LAG_S = 0.1


class Finding(NamedTuple):
    """One line below the table."""

    text: str
    severe: bool


def findings(nodes: Sequence[Figures]) -> list[Finding]:
    """The worst first."""
    there = [node for node in nodes if not node.down]
    found = [
        Finding(f"{' at '.join(filter(None, (node.node, node.address)))} is down: {node.down}", severe=True)
        for node in nodes
        if node.down
    ]
    for node in there:
        name = node.node or node.address
        if node.not_ready:
            found.append(
                Finding(f"{name} takes no traffic: {', '.join(node.not_ready)} unavailable", severe=True)
            )
        found += [Finding(f"{name} has no {server}", severe=True) for server in node.away]
        if node.dead_letters:
            found.append(
                Finding(f"{name}: {node.dead_letters} events were given up since its start", severe=False)
            )
        if (node.reactor_lag_p99_s or 0.0) > LAG_S:
            found.append(Finding(f"{name}: its reactor answers late, see LAG", severe=False))
        found += [
            Finding(f"{name}: the breaker of {each} is open", severe=False) for each in node.breakers_open
        ]
    found += _settings(there) + _shards(nodes)
    return sorted(found, key=lambda each: not each.severe)


def _settings(there: Sequence[Figures]) -> list[Finding]:
    versions = {node.settings_version for node in there if node.settings_version is not None}
    if len(versions) < 2:
        return []
    listed = ", ".join(str(version) for version in sorted(versions))
    return [Finding(f"nodes run different versions of the settings: {listed}", severe=False)]


def _shards(nodes: Sequence[Figures]) -> list[Finding]:
    """Only where all nodes answer can a shard be missed: the owner may be one that is down."""
    owned = [node.shards for node in nodes if node.shards is not None]
    missing = SHARD_COUNT - sum(owned)
    if not owned or not missing or any(node.down for node in nodes):
        return []
    if missing > 0:
        text = f"{missing} of {SHARD_COUNT} shards belong to none of these nodes"
    else:
        text = f"{-missing} shards have two owners among these nodes"
    return [Finding(text, severe=False)]
