"""Settings: which keys may be changed while nodes run, and a version of them.

A document names only what it changes, section by section, as in the nodes' own files; what it names stands above
those files. Keys, types and ranges are those of ``imd.config``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from msgspec import field

from imd.config.gray import BY_USER, Target
from imd.config.load import checked
from imd.config.log import Log, of_log
from imd.config.permission import Permission, problems_of
from imd.config.policy_conflicts import of_failure_mode, of_words
from imd.config.quotas import Quotas
from imd.config.section import Section
from imd.config.sections import Limits

#: A document is kept whole, and travels whole over the bus.
MAX_DOCUMENT_BYTES = 16 * 1024
MAX_COMMENT = 200
#: Of a gray release: names in each of its lists. A list of more users is a percentage.
MAX_GRAY_USERS = 1000
MAX_GRAY_NAMES = 100
_MAX_NAME = 64
#: More than there are. For each that is unknown the nearest one is looked for, which takes its time.
MAX_KEYS = 150

Document = Mapping[str, Any]


class MessageSettings(Section, frozen=True):
    """Of [messages], what can change at any time."""

    recall_window_s: float = 0
    hint_members_online: int = 1
    hint_body_bytes: int = 0
    hint_fanout_ms: float = 1
    receipts_max_members: int = 0


class AccountSettings(Section, frozen=True):
    """Of [accounts], what can change at any time."""

    registration: bool = True


class ContentSettings(Section, frozen=True):
    """Of [content], what can change at any time."""

    words: list[str] = field(default_factory=list)
    hook_deadline_ms: float = 1
    hook_on_failure: str = "open"


class LogSettings(Section, frozen=True):
    """Of [log], what can change at any time."""

    level: str = "info"
    levels: list[str] = field(default_factory=list)
    lines_per_s: float = 0


class TracingSettings(Section, frozen=True):
    """Of [tracing], what can change at any time."""

    sample_ratio: float = 0
    chosen_per_s: float = 0


class Changeable(Section, frozen=True):
    """All keys that a document may hold; defaults here mean nothing, only what is named counts."""

    limits: Limits = Limits()
    quotas: Quotas = Quotas()
    messages: MessageSettings = MessageSettings()
    accounts: AccountSettings = AccountSettings()
    permission: Permission = Permission()
    content: ContentSettings = ContentSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()


class GrayRelease(NamedTuple):
    """A document for some; it stands above the one that all have. What is empty here excludes nobody."""

    #: The version with which it began.
    id: int
    document: Document
    percent: float = 0.0
    user_ids: tuple[int, ...] = ()
    zones: tuple[str, ...] = ()
    client_versions: tuple[str, ...] = ()

    @property
    def target(self) -> Target:
        """As nodes ask it."""
        return Target(
            self.id, self.percent, frozenset(self.user_ids), frozenset(self.zones), self.client_versions
        )


class Author(NamedTuple):
    """Who did it; 0: it is not known."""

    id: int = 0
    name: str = ""


class Settings(NamedTuple):
    """One version. Versions rise; 0 is before the first, and empty."""

    version: int
    document: Document
    #: Why, in the operator's words.
    comment: str
    changed_at_ms: int
    gray: GrayRelease | None = None
    author: Author = Author()
    #: How it came about: set, rollback, gray, promote, withdraw, or lift: the same above what nodes run.
    act: str = "set"


#: Before anybody has set anything.
NONE = Settings(0, {}, "", 0)


class Difference(NamedTuple):
    """A key that two documents do not say alike; None: it is as in the nodes' own files."""

    key: str
    before: Any
    after: Any


def problems(document: object) -> list[str]:
    """Every reason why this cannot be published, each with its dotted path; empty: it can."""
    if not isinstance(document, dict):
        return ['settings: expected an object of sections, such as {"limits": {"user_burst": 60}}']
    named = sum(len(section) if isinstance(section, dict) else 1 for section in document.values())
    if named > MAX_KEYS or len(document) > MAX_KEYS:
        return [f"settings: names {named} keys, which is more than there are"]
    found = checked(document, Changeable)
    # What is wrong by itself is not told twice.
    conflicts = (each for each in conflicts_within(found.sections) if _key_of(each) not in found.broken)
    return [*found.problems, *conflicts]


def _key_of(reason: str) -> str:
    return reason.partition(":")[0].partition("[")[0]


def conflicts_within(config: Any) -> Iterator[str]:
    """What types and ranges cannot say of these values together; of any role's configuration, or ``Changeable``."""
    permission, content = getattr(config, "permission", None), getattr(config, "content", None)
    if permission is not None:
        yield from (f"permission.{key}: {text}" for key, text in problems_of(permission))
    if content is not None:
        for conflict in (*of_failure_mode(content.hook_on_failure), *of_words(content.words)):
            yield f"{conflict.path}: {conflict.text}"
    log = getattr(config, "log", None)
    if log is not None:
        for conflict in of_log(Log(level=log.level, levels=log.levels)):
            yield f"{conflict.path}: {conflict.text}"


def gray_problems(gray: GrayRelease) -> list[str]:
    """The same of a gray release."""
    if reasons := problems(gray.document):
        return reasons
    changed = [key for key, _ in flat(gray.document)]
    if not changed:
        reasons.append("settings: is empty; name what these users are to have otherwise")
    if not 0 <= gray.percent <= 100:
        reasons.append(f"percent: {gray.percent:g} is out of range; expected a number, 0 to 100")
    if len(gray.user_ids) > MAX_GRAY_USERS:
        reasons.append(f"users: more than {MAX_GRAY_USERS:,}; use percent for so many")
    for what, names in (("zones", gray.zones), ("clientVersions", gray.client_versions)):
        if len(names) > MAX_GRAY_NAMES or any(not 0 < len(name) <= _MAX_NAME for name in names):
            reasons.append(f"{what}: at most {MAX_GRAY_NAMES}, each of 1 to {_MAX_NAME} characters")
    target = gray.target
    if not (target.is_by_user or gray.zones):
        reasons.append("percent: is 0, and no users, zones or clientVersions are named: nobody would have it")
    if target.is_by_user:
        reasons += [
            f"{key}: cannot differ between users of one node; release it by zones alone, or one of "
            f"{', '.join(sorted(BY_USER))}"
            for key in changed
            if key not in BY_USER
        ]
    return reasons


def flat(document: Document) -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of everything that it names, in order."""
    for section in sorted(document):
        for key in sorted(document[section]):
            yield f"{section}.{key}", document[section][key]


def above(lower: Document, upper: Document) -> dict[str, dict[str, Any]]:
    """One document that says what both do, the upper one first."""
    merged = {section: dict(values) for section, values in lower.items()}
    for section, values in upper.items():
        merged.setdefault(section, {}).update(values)
    return merged


def differences(before: Document, after: Document) -> list[Difference]:
    """What changed from one to the other, by key."""
    old, new = dict(flat(before)), dict(flat(after))
    return [
        Difference(key, old.get(key), new.get(key))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
