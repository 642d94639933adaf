"""Every key of every role, from the typed sections that the server itself reads."""

from __future__ import annotations

from collections.abc import Iterator

from docs.ext.text import heading, literal, plain, table
from imd.config.reference import ROLES, Key, parts

_HEAD = """\
Each role reads one TOML file, ``--config FILE``; every key may be left out. ``IM__SECTION__KEY`` in the environment stands
above the file. A wrong or unknown key stops the server at start, with all that is wrong, each by its dotted path.
``python -m imd.config.reference ROLE`` prints the same as a file to begin with; ``etc/`` holds those files.
"""
_TITLES = {
    "im": "twistd im: everything in one process",
    "core": "twistd im-core",
    "business": "twistd im-business",
    "admin": "twistd im-admin",
}


def page() -> str:
    """The settings reference."""
    lines = [*heading("Configuration, key by key"), _HEAD, ".. contents::", "   :local:", "   :depth: 2", ""]
    for role in ROLES:
        lines += heading(_TITLES[role], 1)
        for part in parts(role):
            if part.section:
                lines += heading(f"[{part.section}]", 2)
            if part.purpose:
                lines += [plain(part.purpose), ""]
            lines += table(("Key", "Default", "Meaning"), _rows(part.keys), widths=(25, 20, 55))
    return "\n".join(lines)


def _rows(some: list[Key]) -> Iterator[tuple[str, str, str]]:
    for key in some:
        yield literal(key.name), literal(key.default), plain(key.says)
