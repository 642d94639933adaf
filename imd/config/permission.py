"""[permission]: what happens to messages while nobody can say whether they are allowed (spec 5.4, 23.1)."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import NamedTuple

from msgspec import field

from imd.config.section import Section

#: The words of the matrix; ``imd.core.permission.values`` says what they mean.
KINDS = ("p2p", "group", "sensitive", "system")
MESSAGES = ("text", "media", "control")
COLUMNS = ("normal", "degraded", "timed_out")
DECISIONS = ("check", "cache", "strict", "release", "refuse")
LEVELS = ("low", "medium", "high")
AUDIT = "audit"
SCENES = ("p2p", "ordinary", "managed", "public", "large", "system")


class Permission(Section, frozen=True):
    """What happens while im-business is slow or gone (spec 5.4, 23.1). All of it can be changed while nodes run
    (/api/v1/settings of im-admin)."""

    snapshot_s: float = 300.0
    """How long what im-business said of a conversation is believed, should a change not be heard of."""
    snapshot_hot_s: float = 600.0
    """Of one that is asked for every second."""
    snapshot_sensitive_s: float = 60.0
    """Of a sensitive one."""
    degraded_above_ms: float = 100.0
    """Answers that take longer on average make the channel degraded."""
    timed_out_above_ms: float = 300.0
    """Nobody waits longer for an answer."""
    degraded_share: float = 0.01
    """Share of failed questions from which the channel is degraded."""
    timed_out_share: float = 0.05
    """Above this share it counts as timed out."""
    span_s: float = 10.0
    """Times and shares are those of so many seconds."""
    min_questions: int = 20
    """Of fewer questions in that time a share says nothing; their mean time counts all the same."""
    open_after_failures: int = 3
    """More time-outs in a row and im-business is not asked any more for a while (the breaker opens)."""
    open_share: float = 0.05
    """The same for a larger share of failures of any kind than this, for open_share_s."""
    open_share_s: float = 60.0
    half_open_after_s: float = 60.0
    """How long it is left alone then."""
    probes_per_s: float = 10.0
    """After that so many questions are put, on this node, to see."""
    close_share: float = 0.95
    """Once so many of these succeed for close_after_s, all is as before."""
    close_after_s: float = 120.0
    alert_share: float = 0.1
    """More failures than this for alert_after_s are told in the log as an error, for somebody to look."""
    alert_after_s: float = 300.0
    deadline_large_ms: float = 100.0
    """A message to a large group waits so long for an answer, then the matrix decides."""
    deadline_managed_ms: float = 150.0
    deadline_public_ms: float = 200.0
    """Public and official groups."""
    deadline_ms: float = 300.0
    """All others, and where it is not known what it is."""
    large_group_members: int = 1000
    """A group is large above so many."""
    matrix: list[str] = field(default_factory=list)
    """Cells that differ from spec 23.1, such as "group.media.timed_out=release" or "group.media.audit=high".
    Conversations: p2p, group, sensitive, system; messages: text, media, control; then normal, degraded or
    timed_out, and check, cache, strict, release or refuse; or audit, and low, medium or high."""
    release_scenes: list[str] = field(default_factory=lambda: list(SCENES))
    """Where messages are let through unjudged at all; elsewhere they are refused. p2p, ordinary, managed,
    public, large, system."""
    release_min_level: int = 0
    """And of whom: users of this level and above, as operators have set it (PUT /api/v1/operator/accounts/.../level)."""
    release_users_percent: float = 100.0
    """Of those, so many: always the same ones, by their ids."""
    shadow: bool = False
    """Only record what would be done: a message that nobody judged is told to come again."""
    sensitive_throttle_above: float = 0.03
    """Above this share of failures a sensitive group gets only sensitive_throttle_to of conversation_per_s."""
    sensitive_throttle_to: float = 0.5
    ordinary_throttle_above: float = 0.05
    """The same for all other conversations."""
    ordinary_throttle_to: float = 0.8


class Cell(NamedTuple):
    """One word of the matrix: ``column`` is one of ``COLUMNS`` or ``AUDIT``."""

    kind: str
    message: str
    column: str
    word: str


def cell(text: str) -> Cell:
    """What an entry of ``matrix`` says.

    :raises ValueError: nothing that could be understood; with what was expected.
    """
    path, equals, word = (part.strip() for part in text.partition("="))
    parts = path.split(".")
    if not equals or len(parts) != 3:
        raise ValueError(f"{text!r} is no cell; expected one such as 'group.media.timed_out=release'")
    kind, message, column = parts
    for given, known in ((kind, KINDS), (message, MESSAGES), (column, (*COLUMNS, AUDIT))):
        _check(given, known)
    _check(word, LEVELS if column == AUDIT else DECISIONS)
    return Cell(kind, message, column, word)


def problems_of(permission: Permission) -> Iterator[tuple[str, str]]:
    """(key, what is wrong with it): what types and bounds cannot say."""
    for name, texts, parse in (
        ("matrix", permission.matrix, cell),
        ("release_scenes", permission.release_scenes, lambda text: _check(text, SCENES)),
    ):
        for index, text in enumerate(texts):
            try:
                parse(text)
            except ValueError as error:
                yield f"{name}[{index}]", str(error)
    if permission.degraded_above_ms > permission.timed_out_above_ms:
        yield "degraded_above_ms", "is above timed_out_above_ms"
    if permission.degraded_share > permission.timed_out_share:
        yield "degraded_share", "is above timed_out_share"


def _check(word: str, known: tuple[str, ...]) -> None:
    if word not in known:
        near = get_close_matches(word, known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"{word!r} is none of {', '.join(known)}{hint}")
