"""What differs between two configurations of a role, and what of it can be taken over while it runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple, TypeVar

from msgspec.structs import fields

from imd.config.load import overlaid
from imd.config.section import Section

S = TypeVar("S", bound=Section)


class Changes(NamedTuple):
    """Dotted paths, in the order of the file."""

    taken: list[str]
    #: Only a restart brings these into force.
    left: list[str]


def changes(old: S, new: S, *, changeable: Collection[str]) -> tuple[S, Changes]:
    """``old`` with what of ``new`` may change while the role runs, and what differs.

    :param changeable: dotted paths of keys that may.
    """
    differing = list(_differing(old, new))
    taken = [path for path in differing if path in changeable]
    document: dict[str, Any] = {}
    for path in taken:
        *sections, name = path.split(".")
        target, source = document, new
        for section in sections:
            target, source = target.setdefault(section, {}), getattr(source, section)
        target[name] = getattr(source, name)
    return overlaid(old, document), Changes(taken, [path for path in differing if path not in changeable])


def _differing(old: Section, new: Section, path: str = "") -> Iterator[str]:
    for field in fields(old):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if isinstance(before, Section) and isinstance(after, Section):
            yield from _differing(before, after, f"{path}{field.name}.")
        elif before != after:
            yield path + field.name
