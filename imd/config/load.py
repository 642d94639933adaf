"""From a TOML file and the environment to a role's configuration, or to every reason why not, at once.

``IM__LISTEN__TCP=0.0.0.0:7700`` in the environment stands above ``tcp`` in ``[listen]`` of the
file; ``IM__NODE_ID`` above ``node_id``. What neither names keeps its default.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, overload

import msgspec
from msgspec.structs import FieldInfo, fields, replace

from imd.config.bounds import BOUNDS
from imd.config.conflicts import conflicts
from imd.config.section import Section
from imd.config.sections import Config
from imd.kernel.errors import StartupError

PREFIX = "IM__"

S = TypeVar("S", bound=Section)

_EXPECTED: dict[Any, str] = {
    str: "text in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list[str]: "a list of texts",
}


class ConfigError(StartupError):
    """The configuration is wrong; ``problems`` has a line for each reason, with its dotted path."""

    def __init__(self, source: str, problems: list[str]) -> None:
        self.problems = problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n  ".join([f"{count} in {source}:", *problems]))


class Examined(NamedTuple, Generic[S]):
    """A configuration, right or wrong: what is wrong has its default in ``config``."""

    config: S
    #: What was read, in words.
    source: str
    problems: list[str]
    #: Dotted paths of what is wrong.
    broken: frozenset[str]


@overload
def load(file: str, environ: Mapping[str, str]) -> Config: ...


@overload
def load(file: str, environ: Mapping[str, str], kind: type[S]) -> S: ...


def load(file: str, environ: Mapping[str, str], kind: type[Section] = Config) -> Section:
    """The configuration in ``file`` ("" for none), with what ``environ`` overrides.

    :param kind: whose file it is, one of ``imd.config.sections``.
    :raises ConfigError: with all that is wrong.
    """
    examined = examine(file, environ, kind)
    if examined.problems:
        raise ConfigError(examined.source, examined.problems)
    return examined.config


def examine(file: str, environ: Mapping[str, str], kind: type[S]) -> Examined[S]:
    """As ``load``, for who wants to look at the rest of it, too.

    :raises ConfigError: the file cannot be read at all.
    """
    overrides = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
    source = file or "the configuration"
    if overrides:
        source += f" and the environment ({PREFIX}*)"
    reading = _Reading(kind, overrides)
    config = reading.section(kind, _read(file) if file else {}, "")
    reading.unknown_overrides()
    for conflict in conflicts(config):
        if not reading.broken & {conflict.path, *conflict.given}:
            reading.problem(conflict.path, conflict.text)
    return Examined(config, source, reading.problems, frozenset(reading.broken))


class Checked(NamedTuple, Generic[S]):
    """Sections that were given on their own, and what is wrong with them: unknown keys, types, ranges."""

    #: What is wrong has its default here.
    sections: S
    problems: list[str]
    #: Dotted paths of what is wrong.
    broken: set[str]


def checked(given: dict[str, Any], kind: type[S]) -> Checked[S]:
    """Look at all of it; other things that do not go together are for those who know them."""
    reading = _Reading(kind, {})
    sections = reading.section(kind, given, "")
    return Checked(sections, reading.problems, reading.broken)


def overlaid(config: S, document: Mapping[str, Any]) -> S:
    """The configuration with what a document of settings names above it.

    What this role has no key for is for others.

    :param document: in which ``checked`` found nothing wrong.
    """
    known = {field.name: field for field in fields(config)}
    changes: dict[str, Any] = {}
    for name, given in document.items():
        field = known.get(name)
        if field is None:
            continue
        if _is_section(field.type):
            changes[name] = overlaid(getattr(config, name), given)
        else:
            changes[name] = msgspec.convert(given, field.type)
    return replace(config, **changes)


def keys(section: type[Section] = Config, path: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key with its dotted path; sections themselves are left out."""
    for field in fields(section):
        if _is_section(field.type):
            yield from keys(field.type, f"{field.name}.")
        else:
            yield path + field.name, field


def variable_of(path: str) -> str:
    """The variable of the environment that stands above a key."""
    return PREFIX + path.upper().replace(".", "__")


def _read(file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(file).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(file, [f"cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError(file, [f"byte {error.start} is not UTF-8"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(file, [f"not TOML: {error}"]) from None


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _shown(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class _Reading:
    """One walk over all sections; a key that is wrong keeps its default and the walk goes on."""

    def __init__(self, kind: type[Section], overrides: Mapping[str, str]) -> None:
        self._kind = kind
        self.problems: list[str] = []
        #: Paths that are wrong already; what depends on them is not judged.
        self.broken: set[str] = set()
        self._overrides = overrides

    def problem(self, path: str, text: str, *, variable: str = "") -> None:
        self.broken.add(path)
        self.problems.append(f"{path}{f' ({variable})' if variable else ''}: {text}")

    def section(self, kind: type[S], given: object, path: str) -> S:
        """The section at ``path`` ("" or "name.")."""
        if not isinstance(given, dict):
            self.problem(path[:-1], f"is {_shown(given)}; expected a table, [{path[:-1]}]")
            given = {}
        values: dict[str, Any] = {}
        known = {field.name: field for field in fields(kind)}
        for name in given:
            if name not in known:
                self._unknown(path + name, [path + sibling for sibling in known])
        for name, field in known.items():
            if _is_section(field.type):
                values[name] = self.section(field.type, given.get(name, {}), f"{name}.")
            else:
                self._key(field, given, path + name, values)
        return kind(**values)

    def _key(self, field: FieldInfo, given: dict[str, Any], path: str, values: dict[str, Any]) -> None:
        variable = variable_of(path)
        value: Any
        if variable in self._overrides:
            value = self._overrides[variable]
            if field.type == list[str]:
                value = [item.strip() for item in value.split(",") if item.strip()]
        elif field.name in given:
            value, variable = given[field.name], ""
        else:
            return
        expected = _EXPECTED[field.type]
        bounds = BOUNDS.get(path)
        if bounds is not None:
            expected += f", {bounds}"
        try:
            converted = msgspec.convert(value, field.type, strict=not variable)
        except msgspec.ValidationError:
            self.problem(path, f"is {_shown(value)}; expected {expected}", variable=variable)
            return
        if bounds is not None and converted not in bounds:
            self.problem(path, f"{_shown(value)} is out of range; expected {expected}", variable=variable)
            return
        values[field.name] = converted

    def _unknown(self, path: str, siblings: list[str], *, variable: str = "") -> None:
        everywhere = [key for key, _ in keys(self._kind)]
        name = path.rpartition(".")[2]
        near = get_close_matches(path, siblings, 1, 0.7) or get_close_matches(path, everywhere, 1, 0.8)
        near = near or [key for key in everywhere if key.rpartition(".")[2] == name]
        hint = f"; did you mean {near[0]}?" if near else ""
        self.problem(path, f"is not a key{hint}", variable=variable)

    def unknown_overrides(self) -> None:
        """Complain of variables with our prefix that name no key."""
        known = {key for key, _ in keys(self._kind)}
        for variable in self._overrides:
            path = variable.removeprefix(PREFIX).lower().replace("__", ".")
            if variable != variable_of(path) or path not in known:
                self._unknown(path, sorted(known), variable=variable)
