"""All nodes as lines of text: plain, no wider than the screen; what matters least gives way first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from imd.client.commands.render import BOLD, RESET, YELLOW, harmless
from imd.ctl.top.figures import Figures
from imd.ctl.top.judging import Finding, findings

_NOTHING = "-"
_GAP = "  "
_RED = "\x1b[31m"
#: The summary, the header and the empty lines between.
_AROUND = 4
#: Names and reasons come from elsewhere.
_MAX_NAME = 24
_MAX_REASON = 60


class _Column(NamedTuple):
    title: str
    value: Callable[[Figures], str]
    rank: int
    """The highest gives way first where the screen is narrow."""


def _count(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:,.0f}"


def _rate(value: float | None) -> str:
    if value is None:
        return _NOTHING
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.1f}"


def _milliseconds(value_s: float | None) -> str:
    if value_s is None:
        return _NOTHING
    value = value_s * 1000
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _share(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.0%}"


def _bytes(value: float | None) -> str:
    if value is None:
        return _NOTHING
    mebibytes = value / (1 << 20)
    return f"{mebibytes:,.0f}M" if mebibytes < 10_000 else f"{mebibytes / 1024:,.0f}G"


def _age(value_s: float | None) -> str:
    if value_s is None:
        return _NOTHING
    for unit_s, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if value_s >= unit_s:
            return f"{value_s / unit_s:.0f}{unit}"
    return f"{max(value_s, 0):.0f}s"


def _name(figures: Figures) -> str:
    return harmless(figures.node or figures.address)[:_MAX_NAME]


#: In the order in which they are shown. Times are in ms, over what happened since the look before.
_COLUMNS = (
    _Column("NODE", _name, 0),
    _Column("CONN", lambda each: _count(each.connections), 1),
    _Column("SEND/s", lambda each: _rate(each.sends_per_s), 2),
    _Column("DELIVER/s", lambda each: _rate(each.deliveries_per_s), 2),
    _Column("ACK p50", lambda each: _milliseconds(each.ack_p50_s), 7),
    _Column("ACK p99", lambda each: _milliseconds(each.ack_p99_s), 2),
    _Column("WRITE p50", lambda each: _milliseconds(each.write_p50_s), 10),
    _Column("WRITE p99", lambda each: _milliseconds(each.write_p99_s), 6),
    _Column("CHECK/s", lambda each: _rate(each.checks_per_s), 9),
    _Column("CHECK p99", lambda each: _milliseconds(each.check_p99_s), 8),
    _Column("QUEUE", lambda each: _count(each.queued), 3),
    _Column("SHED/s", lambda each: _rate(each.shed_per_s), 8),
    _Column("SHARDS", lambda each: _count(each.shards), 3),
    _Column("LAG p99", lambda each: _milliseconds(each.reactor_lag_p99_s), 3),
    _Column("CPU", lambda each: _share(each.cpu_share), 4),
    _Column("MEM", lambda each: _bytes(each.memory_bytes), 5),
    _Column("UP", lambda each: _age(each.up_s), 9),
    _Column("SETTINGS", lambda each: _count(each.settings_version), 4),
)


def lines(
    nodes: Sequence[Figures], *, when: str, columns: int, colours: bool, rows: int | None = None
) -> list[str]:
    """What all together do, a line a node, what is wrong.

    :param rows: how many there is room for: then of what is wrong a third at most is shown, and of the nodes
        those that fit, the ones that are down first.
    """
    paint = _painted if colours else _unpainted
    wrong = [paint(f"! {harmless(each.text)}"[:columns], _colour(each)) for each in findings(nodes)]
    if rows is not None:
        wrong = _cut(wrong, max(rows // 3, 1))
    summary = _summary(nodes, when)[:columns]
    if rows is not None and len(nodes) > rows - len(wrong) - _AROUND:
        nodes = sorted(nodes, key=lambda node: not node.down)
    header, *table = _table(nodes, columns)
    table = [paint(row, _RED) if node.down else row for node, row in zip(nodes, table, strict=True)]
    if rows is not None:
        table = _cut(table, max(rows - len(wrong) - _AROUND, 1))
    return [summary, "", paint(header, BOLD), *table, "", *wrong]


def _cut(listed: list[str], room: int) -> list[str]:
    """What fits, with a last line that says how much does not."""
    if len(listed) <= room:
        return listed
    return [*listed[: room - 1], f"... and {len(listed) - room + 1} more"]


def _table(nodes: Sequence[Figures], columns: int) -> list[str]:
    chosen = list(_COLUMNS)
    while True:
        cells = [[column.title for column in chosen]]
        cells += [[column.value(node) for column in chosen] for node in nodes]
        widths = [max(len(row[index]) for row in cells) for index in range(len(chosen))]
        if len(chosen) == 1 or sum(widths) + len(_GAP) * (len(chosen) - 1) <= columns:
            break
        chosen.remove(max(reversed(chosen), key=lambda column: column.rank))
    table = [_row(row, widths) for row in cells]
    for index, node in enumerate(nodes, 1):
        if node.down:
            why = f"down: {harmless(node.down)[:_MAX_REASON]}"
            table[index] = f"{cells[index][0]:<{widths[0]}}{_GAP}{why}"
    return [row[:columns] for row in table]


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = [
        f"{cell:>{width}}" if index else f"{cell:<{width}}"
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return _GAP.join([first, *rest]).rstrip()


def _summary(nodes: Sequence[Figures], when: str) -> str:
    there = [node for node in nodes if not node.down]
    parts = [f"imctl top  {when}", f"{len(there)} of {len(nodes)} nodes answer"]
    for what, value in (
        ("connections", _total([node.connections for node in there], _count)),
        ("sends/s", _total([node.sends_per_s for node in there], _rate)),
        ("deliveries/s", _total([node.deliveries_per_s for node in there], _rate)),
        ("stored/s", _total([node.stored_per_s for node in there], _rate)),
    ):
        parts.append(f"{value} {what}")
    return "   ".join(parts)


def _total(values: Sequence[float | None], shown: Callable[[float | None], str]) -> str:
    known = [value for value in values if value is not None]
    return shown(sum(known) if known else None)


def _colour(finding: Finding) -> str:
    return _RED if finding.severe else YELLOW


def _painted(text: str, colour: str) -> str:
    return f"{colour}{text}{RESET}"


def _unpainted(text: str, _: str) -> str:
    return text
