"""A diagram of each state machine, from the table that the server runs by."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from docs.ext.text import heading
from imd.business.accounts import states as accounts
from imd.business.relations import model as relations
from imd.business.reviews import model as reviews
from imd.core.permission import channel
from imd.wire import client, server


class Machine(NamedTuple):
    """A table of (state, input) -> state, maybe with what is done about it."""

    title: str
    says: str
    table: Mapping[tuple[Any, Any], Any]
    names: Mapping[Any, str] = {}


MACHINES = (
    Machine(
        "A connection, as the server sees it",
        "What may come when, on all transports (``imd/wire/server.py``). Behind the slash stands what is done.",
        server.TRANSITIONS,
    ),
    Machine(
        "A connection, as the client library sees it",
        "The other side of it (``imd/wire/client.py``).",
        client.TRANSITIONS,
    ),
    Machine(
        "The way to the authority on permissions",
        "The circuit breaker of a core node (``imd/core/permission/channel.py``).",
        channel.TRANSITIONS,
    ),
    Machine(
        "An account",
        "What operators and owners do to it (``imd/business/accounts/states.py``).",
        accounts.STEPS,
        accounts.NAMES,
    ),
    Machine(
        "A request for friendship",
        "One for each pair and direction, the last one (``imd/business/relations/model.py``).",
        relations.STEPS,
    ),
    Machine(
        "A message that waits for a reviewer",
        "From held to delivered or refused (``imd/business/reviews/model.py``).",
        reviews.TRANSITIONS,
    ),
)


def page() -> str:
    """All of them."""
    lines = heading("State machines")
    lines += [
        "Each picture is drawn from the table in the code, all of whose cells are tested. What leaves a state as it is, and",
        "asks for nothing, is left out.",
        "",
    ]
    for machine in MACHINES:
        lines += [*heading(machine.title, 1), machine.says, "", *_diagram(machine)]
    return "\n".join(lines)


def _diagram(machine: Machine) -> list[str]:
    arrows: dict[tuple[str, str], list[str]] = {}
    states: dict[str, None] = {}
    for (state, happened), outcome in machine.table.items():
        after, done = outcome if isinstance(outcome, tuple) else (outcome, None)
        start, end = _name(state, machine.names), _name(after, machine.names)
        states.update({start: None, end: None})
        does = "" if done is None or done.value == "nothing" else f" / {_name(done, {})}"
        if start != end or does:
            arrows.setdefault((start, end), []).append(f"{_name(happened, {})}{does}")
    lines = [
        ".. graphviz::",
        f"   :alt: {machine.title}",
        "",
        "   digraph {",
        "      rankdir=TB; bgcolor=transparent;",
        '      node [shape=box style="rounded,filled" fillcolor="#e8eef7" fontname="sans-serif" fontsize=11];',
        '      edge [fontname="sans-serif" fontsize=9 color="#667788"];',
        *(f'      "{state}";' for state in states),
    ]
    for (start, end), labels in arrows.items():
        label = "\\n".join(labels)
        lines.append(f'      "{start}" -> "{end}" [label="{label}"];')
    return [*lines, "   }", ""]


def _name(value: Any, names: Mapping[Any, str]) -> str:
    if value in names:
        return names[value]
    if isinstance(value, Enum):
        return value.value if isinstance(value.value, str) else value.name.lower().replace("_", " ")
    return str(value)
