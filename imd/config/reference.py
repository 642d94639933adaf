"""The configuration, printed: every key with its reason, its range and its default.

``python -m imd.config.reference core > im-core.toml`` starts a file of one's own; ``etc/*.toml`` are these.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
import textwrap
from collections.abc import Iterator
from typing import NamedTuple

from msgspec.structs import FieldInfo, fields

from imd.config.bounds import BOUNDS
from imd.config.section import Section
from imd.config.sections import AdminConfig, BusinessConfig, Config, CoreConfig

WIDTH = 100
#: What may be asked for, and the file in etc/ that it is.
ROLES: dict[str, tuple[type[Section], str]] = {
    "im": (Config, "im"),
    "core": (CoreConfig, "im-core"),
    "business": (BusinessConfig, "im-business"),
    "admin": (AdminConfig, "im-admin"),
}

_HEAD = """\
# Configuration of `twistd {name} --config FILE`. Every key is shown with its default:
# remove the # to change it. IM__LISTEN__HTTP in the environment stands above http in [listen]; a
# wrong or unknown key stops the server at start, with all that is wrong.
"""


class Key(NamedTuple):
    """One key: its name, its default in TOML, and what it is for, with its range."""

    name: str
    default: str
    says: str


class Part(NamedTuple):
    """A section, or, without a name, what stands above all sections."""

    section: str
    purpose: str
    keys: list[Key]


def parts(role: str) -> Iterator[Part]:
    """What one of ``ROLES`` can be told, in the order of the file."""
    kind, _ = ROLES[role]
    sections: list[FieldInfo] = []
    above: list[Key] = []
    for field in fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, Section):
            sections.append(field)
        else:
            above.append(_key(kind, field, field.name))
    yield Part("", "", above)
    for section in sections:
        some = [_key(section.type, field, f"{section.name}.{field.name}") for field in fields(section.type)]
        yield Part(section.name, _purpose(section.type), some)


def reference(role: str = "im") -> str:
    """The whole text for one of ``ROLES``."""
    _, name = ROLES[role]
    lines = [_HEAD.format(name=name)]
    for part in parts(role):
        if part.section:
            lines += ["", *_comment(part.purpose), f"[{part.section}]"]
        for key in part.keys:
            lines += [*_comment(key.says), f"#{key.name} = {key.default}"]
    return "\n".join(lines) + "\n"


def _key(section: type[Section], field: FieldInfo, path: str) -> Key:
    says = _docstrings(section).get(field.name, "")
    if path in BOUNDS:
        says = f"{says} ({BOUNDS[path]})" if says else f"{str(BOUNDS[path]).capitalize()}."
    default = field.default_factory() if callable(field.default_factory) else field.default
    return Key(field.name, _toml(default), says)


def _toml(value: object) -> str:
    # The JSON form of a text, a number, a boolean or a list of these is TOML too.
    return json.dumps(value, ensure_ascii=False)


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, WIDTH - 2)]


def _purpose(section: type[Section]) -> str:
    return " ".join((inspect.getdoc(section) or "").split())


def _docstrings(section: type[Section]) -> dict[str, str]:
    """The texts below the attributes, which Python itself forgets; a section inherits them."""
    texts: dict[str, str] = {}
    for base in section.__mro__[section.__mro__.index(Section) - 1 :: -1]:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(tree, ast.ClassDef)
        texts.update(_documented(tree))
    return texts


def _documented(tree: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for statement, below in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            yield statement.target.id, " ".join(str(below.value.value).split())


def main(arguments: list[str]) -> int:
    """The exit code."""
    role = arguments[0] if arguments else "im"
    if len(arguments) > 1 or role not in ROLES:
        sys.stderr.write(f"usage: python -m imd.config.reference [{'|'.join(ROLES)}]\n")
        return 2
    sys.stdout.write(reference(role))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
