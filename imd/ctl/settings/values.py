"""Keys and values as they stand on a command line, and documents of them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from imd.ctl.exits import USAGE, CommandFailed

Document = dict[str, dict[str, Any]]


def parsed(assignments: Iterable[str]) -> Document:
    """What ``SECTION.KEY=VALUE`` say; a value is as in the configuration, and text needs no quotes.

    :raises CommandFailed: one says nothing.
    """
    document: Document = {}
    for text in assignments:
        path, equals, value = text.partition("=")
        section, _, key = path.strip().partition(".")
        if not equals or not section or not key:
            raise CommandFailed(USAGE, f"{text!r}: expected SECTION.KEY=VALUE, such as limits.user_burst=60")
        document.setdefault(section, {})[key] = _value(value.strip())
    return document


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def flat(document: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Dotted key to value."""
    return {f"{section}.{key}": document[section][key] for section in document for key in document[section]}


def with_values(document: Mapping[str, Mapping[str, Any]], changes: Document) -> Document:
    """The document, and above it the changes."""
    merged = {section: dict(values) for section, values in document.items()}
    for section, values in changes.items():
        merged.setdefault(section, {}).update(values)
    return merged


def without(document: Mapping[str, Mapping[str, Any]], keys: Iterable[str]) -> Document:
    """The document without these keys, or without a whole section.

    :raises CommandFailed: it does not name one of them.
    """
    left = {section: dict(values) for section, values in document.items()}
    known = [*flat(document), *document]
    for key in keys:
        if key not in known:
            near = get_close_matches(key, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise CommandFailed(USAGE, f"{key} is not set, so there is nothing to unset{hint}")
        section, _, name = key.partition(".")
        if name:
            left.get(section, {}).pop(name, None)
        else:
            left.pop(section, None)
    return {section: values for section, values in left.items() if values}
