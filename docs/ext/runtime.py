"""Every key that can be set while nodes run, as im-admin itself checks it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from docs.ext.text import heading, literal, plain, table
from imd.admin.settings.keys import RuntimeKey, runtime_keys

_HEAD = """\
What :doc:`../settings` can change. ``imctl settings keys`` prints the same. A default is that of the nodes' own files; "by
user" means that a gray release may give it to some users only.
"""


def page() -> str:
    """The list, a table for each section."""
    lines = [*heading("Settings that change at run time"), _HEAD]
    sections = dict.fromkeys(key.key.partition(".")[0] for key in runtime_keys())
    for section in sections:
        some = [key for key in runtime_keys() if key.key.startswith(f"{section}.")]
        lines += heading(f"[{section}]", 1)
        lines += table(
            ("Key", "Type and range", "Default", "Whose", "Meaning"), _rows(some), widths=(25, 15, 15, 10, 35)
        )
    return "\n".join(lines)


def _rows(keys: list[RuntimeKey]) -> Iterator[tuple[str, ...]]:
    for key in keys:
        whose = " and ".join(key.roles) + (", by user" if key.by_user else "")
        kind = f"{key.type}, {key.range}" if key.range else key.type
        default = literal(json.dumps(key.default, ensure_ascii=False))
        yield literal(key.key), plain(kind), default, whose, plain(key.meaning)
