"""All keys that can be set while nodes run, with what may stand there: for operators, and for docs/settings.rst."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from imd.admin.settings.model import Changeable
from imd.config.bounds import BOUNDS
from imd.config.gray import BY_USER
from imd.config.load import keys
from imd.config.reference import parts
from imd.config.sections import BusinessConfig, Config, CoreConfig

_TYPES: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    list[str]: "list of texts",
}


class RuntimeKey(NamedTuple):
    """One of them."""

    key: str
    type: str
    #: In words; empty: whatever the type allows.
    range: str
    #: Of the nodes' own files.
    default: Any
    #: Who goes by it: core, business or both.
    roles: tuple[str, ...]
    #: Whether users of one node may have different values, by a gray release.
    by_user: bool
    meaning: str


@cache
def runtime_keys() -> tuple[RuntimeKey, ...]:
    """In the order of the configuration."""
    changeable = {path for path, _ in keys(Changeable)}
    of_role = {
        role: {path for path, _ in keys(kind)}
        for role, kind in (("core", CoreConfig), ("business", BusinessConfig))
    }
    said = {f"{part.section}.{key.name}": key.says for part in parts("im") for key in part.keys}
    found = []
    for path, field in keys(Config):
        if path not in changeable:
            continue
        default = field.default_factory() if callable(field.default_factory) else field.default
        found.append(
            RuntimeKey(
                key=path,
                type=_TYPES[field.type],
                range=str(BOUNDS.get(path, "")),
                default=default,
                roles=tuple(role for role, paths in of_role.items() if path in paths),
                by_user=path in BY_USER,
                meaning=_meaning(said[path], str(BOUNDS.get(path, ""))),
            )
        )
    return tuple(found)


def _meaning(says: str, bounds: str) -> str:
    """What the configuration says of it, without its range."""
    return "" if says.lower() == f"{bounds}." else says.removesuffix(f" ({bounds})")
