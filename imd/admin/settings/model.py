"""Settings: which keys may be changed while nodes run, and a version of them.

A document names only what it changes, section by section, as in the nodes' own files; what it names stands above
those files. Keys, types and ranges are those of ``imd.config``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec import field

from imd.config.load import overlaid, problems_in
from imd.config.log import Log, of_log
from imd.config.permission import Permission, problems_of
from imd.config.policy_conflicts import of_failure_mode
from imd.config.section import Section
from imd.config.sections import Limits

#: A document is kept whole, and travels whole over the bus.
MAX_DOCUMENT_BYTES = 16 * 1024
MAX_COMMENT = 200

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


class Changeable(Section, frozen=True):
    """All keys that a document may hold; defaults here mean nothing, only what is named counts."""

    limits: Limits = Limits()
    messages: MessageSettings = MessageSettings()
    accounts: AccountSettings = AccountSettings()
    permission: Permission = Permission()
    content: ContentSettings = ContentSettings()
    log: LogSettings = LogSettings()


class Settings(NamedTuple):
    """One version. Versions count 1, 2, 3, ...; 0 is before the first, and empty."""

    version: int
    document: Document
    #: Why, in the operator's words.
    comment: str
    changed_at_ms: int


#: Before anybody has set anything.
NONE = Settings(0, {}, "", 0)


def problems(document: object) -> list[str]:
    """Every reason why this cannot be published, each with its dotted path; empty: it can."""
    if not isinstance(document, dict):
        return ['settings: expected an object of sections, such as {"limits": {"user_burst": 60}}']
    if reasons := problems_in(document, Changeable):
        return reasons
    changed = overlaid(Changeable(), document)
    return [
        *(f"permission.{key}: {text}" for key, text in problems_of(changed.permission)),
        *(f"{path}: {text}" for path, text, _ in of_failure_mode(changed.content.hook_on_failure)),
        *(
            f"{path}: {text}"
            for path, text, _ in of_log(Log(level=changed.log.level, levels=changed.log.levels))
        ),
    ]
