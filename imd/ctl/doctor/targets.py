"""Which configurations are looked at, and of which role each is."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from imd.config.listeners import value_at
from imd.config.load import ConfigError, Examined, examine, keys, variable_of
from imd.config.section import Section
from imd.config.sections import AdminConfig, BusinessConfig, Config, CoreConfig
from imd.ctl.doctor.finding import Check, Finding
from imd.ctl.exits import USAGE, CommandFailed

#: Command of twistd, and what its file holds.
ROLES: Mapping[str, type[Section]] = {
    "im": Config,
    "im-core": CoreConfig,
    "im-business": BusinessConfig,
    "im-admin": AdminConfig,
}
#: core-1.toml, as tools/cluster calls them, im-core.toml, and im.toml.
_NAMES = tuple(
    (re.compile(rf"(?:.*[^a-z])?{name.removeprefix('im-')}(?:[^a-z].*)?\Z"), name)
    for name in ("im-core", "im-business", "im-admin", "im")
)

CONFIGURATION = Check("config.valid", "the role does not start with it")
AGREEMENT = Check(
    "config.agreement", "nodes that disagree in this do not find, or do not believe, each other"
)


class Target(NamedTuple):
    """A role's configuration; what is wrong in it has its default."""

    role: str
    #: As it was named, or the role's command if there is none.
    name: str
    examined: Examined[Any]

    @property
    def config(self) -> Any:
        return self.examined.config

    def is_wrong(self, path: str) -> bool:
        """Whether what stands in a key cannot be used."""
        return bool({path, path.partition(".")[0]} & self.examined.broken)

    def section(self, name: str) -> Any:
        """A section, or None if the role has none, or there is something wrong in it."""
        if any(path == name or path.startswith(f"{name}.") for path in self.examined.broken):
            return None
        return getattr(self.config, name, None)


def targets_of(wanted: Sequence[str], environ: Mapping[str, str]) -> Iterator[Target]:
    """For each ``[ROLE=]FILE``; for none, `twistd im` with its defaults.

    :raises CommandFailed: it cannot be said whose file it is, or it is not there.
    """
    if not wanted:
        yield Target("im", "im", examine("", environ, Config))
    for text in wanted:
        role, file = _role_and_file(text)
        # Variables of one role are no error beside the files of others.
        known = environ if len(wanted) == 1 else _known(environ, ROLES[role])
        try:
            yield Target(role, file, examine(file, known, ROLES[role]))
        except ConfigError as error:
            yield Target(role, file, _nothing_of(ROLES[role], file, error))


def _nothing_of(kind: type[Section], file: str, error: ConfigError) -> Examined[Any]:
    """Of a file that is no TOML: all is wrong."""
    defaults = examine("", {}, kind).config
    return Examined(defaults, file, error.problems, frozenset(kind.__struct_fields__))


def valid(target: Target) -> Iterator[Finding]:
    """Every problem, with its dotted path."""
    for problem in target.examined.problems:
        yield CONFIGURATION.fail(
            target.examined.source,
            problem,
            f"put it right; `python -m imd.config.reference {target.role.removeprefix('im-')}` prints every key "
            "with its range",
        )
    if not target.examined.problems:
        yield CONFIGURATION.ok(target.name, f"{target.role}: every key is known and in its range")


def agreement(targets: Sequence[Target]) -> Iterator[Finding]:
    """What has to be the same, or different, on all nodes."""
    problems = [*_same_ids(targets), *_differences(targets)]
    yield from problems
    if len(targets) > 1 and not problems:
        yield AGREEMENT.ok(", ".join(target.name for target in targets), "they agree")


def _same_ids(targets: Sequence[Target]) -> Iterator[Finding]:
    taken: dict[tuple[str, int], str] = {}
    for target in targets:
        if target.is_wrong("node_id"):
            continue
        place = (target.role, target.config.node_id)
        if place in taken:
            yield AGREEMENT.fail(
                target.name,
                f"node_id {place[1]} is also that of {taken[place]}",
                f"give every {target.role} a node_id of its own",
                means="the second of them drives the first one out",
            )
        taken[place] = target.name


#: Key -> roles on all whose nodes it is the same.
_SHARED = {
    "mongo.database": ("im-core",),
    "mongo.message_collections": ("im-core",),
    "redis.database": ("im-core",),
    "token_secret_file": ("im-business",),
    "sql.database": ("im-business",),
    "nats.replicas": ("im-core", "im-business", "im-admin"),
}


def _differences(targets: Sequence[Target]) -> Iterator[Finding]:
    for path, roles in _SHARED.items():
        values: dict[object, str] = {}
        for target in targets:
            if target.role in roles and not target.is_wrong(path):
                values.setdefault(_compared(path, value_at(target.config, path)), target.name)
        if len(values) > 1:
            yield AGREEMENT.fail(
                " and ".join(values.values()),
                f"{path} is not the same",
                f"give {path} the same value on every {' and '.join(roles)}",
            )


def _compared(path: str, value: Any) -> object:
    """Of files their content counts; one that cannot be read is a problem of its own."""
    if not path.endswith("_file"):
        return value
    try:
        return Path(value).read_bytes().strip()
    except OSError:
        return value


def _role_and_file(text: str) -> tuple[str, str]:
    role, equals, file = text.partition("=")
    said = role if equals and role in ROLES else ""
    file = file if said else text
    if not Path(file).is_file():
        raise CommandFailed(USAGE, f"{file or text}: is not there; give --config the file of a role")
    return said or _role_of(file), file


def _role_of(file: str) -> str:
    named = [name for pattern, name in _NAMES if pattern.match(Path(file).stem.lower())]
    if named:
        return named[0]
    knowing = [name for name, kind in ROLES.items() if _keys_in(file) <= {path for path, _ in keys(kind)}]
    if len(knowing) != 1:
        raise CommandFailed(
            USAGE,
            f"{file}: it cannot be told whose file it is; say --config ROLE={file}, ROLE one of {', '.join(ROLES)}",
        )
    return knowing[0]


def _keys_in(file: str) -> set[str]:
    try:
        document = tomllib.loads(Path(file).read_text("utf-8-sig"))
    except (OSError, ValueError):
        return set()
    found: set[str] = set()
    for name, value in document.items():
        found |= {f"{name}.{key}" for key in value} if isinstance(value, dict) else {name}
    return found


def _known(environ: Mapping[str, str], kind: type[Section]) -> dict[str, str]:
    names = {variable_of(path) for path, _ in keys(kind)}
    return {name: value for name, value in environ.items() if name in names}
